#include "plan.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <tuple>

namespace bnnp {

namespace {

bool is_narrow(int type) { return type == 3 || type == 8 || type == 13 || type == 21 || type == 24; }
bool is_radial(int type) { return type == 1 || type == 2 || type == 4 || type == 12 || type == 20 || type == 23; }
bool is_compact(int type) { return type >= 20 && type <= 25; }
bool is_weighted(int type) { return type == 12 || type == 13 || type >= 23; }

bool operator==(const RadialFactor& a, const RadialFactor& b) {
    return a.kind == b.kind && a.cutoff.type == b.cutoff.type && a.cutoff.radius == b.cutoff.radius &&
           a.cutoff.inner == b.cutoff.inner && a.eta == b.eta && a.r_s == b.r_s && a.centre == b.centre &&
           a.half_width == b.half_width && a.core == b.core && a.asymmetric == b.asymmetric && a.weighted == b.weighted;
}

RadialFactor radial_factor(const FunctionSpec& f, const CutoffFunction& cutoff) {
    RadialFactor factor;
    factor.weighted = is_weighted(f.type);
    factor.cutoff = {cutoff.type, f.r_c, cutoff.inner * f.r_c};
    if (is_compact(f.type)) {
        factor.kind = RadialKind::compact;
        factor.centre = 0.5 * (f.r_l + f.r_c);
        factor.half_width = 0.5 * (f.r_c - f.r_l);
        factor.core = f.core;
        factor.asymmetric = f.asymmetric;
    } else if (f.type == 1) {
        factor.cutoff = {1, f.r_c, 0.0};  // RuNNer's type 1 is always the cosine
    } else if (f.type == 4) {
        factor.kind = RadialKind::cosine;
        factor.eta = f.eta;
    } else if (f.type != 8) {
        factor.eta = f.eta;
        factor.r_s = f.r_s;
    }
    return factor;
}

AngularMember angular_member(const FunctionSpec& f) {
    AngularMember m;
    m.column = f.column;
    if (is_compact(f.type)) {
        m.kind = AngularKind::compact;
        m.centre = 0.5 * (f.angle_left + f.angle_right);
        m.half_width = 0.5 * (f.angle_right - f.angle_left);
        m.core = f.core;
    } else if (f.type == 8) {
        m.kind = AngularKind::gaussian;
        m.eta = f.eta;
        m.theta_s = f.r_s;
    } else {
        m.lambda = f.lambda;
        m.zeta = f.zeta;
        m.prefactor = std::exp2(1.0 - f.zeta);
        m.integer_zeta = f.zeta == std::floor(f.zeta) && f.zeta <= 1024 ? int(f.zeta) : 0;
    }
    return m;
}

void add_angular(ElementPlan& element, const FunctionSpec& f, const RadialFactor& factor) {
    const int first = std::min(f.neighbor1, f.neighbor2), second = std::max(f.neighbor1, f.neighbor2);
    for (AngularGroup& group : element.angular) {
        if (group.neighbor1 == first && group.neighbor2 == second && group.narrow == is_narrow(f.type) &&
            group.factor == factor) {
            group.members.push_back(angular_member(f));
            return;
        }
    }
    element.angular.push_back({first, second, is_narrow(f.type), f.r_c, factor, {angular_member(f)}});
}

}  // namespace

Plan make_plan(const std::vector<double>& atomic_numbers, const std::vector<FunctionSpec>& functions, int cutoff_type,
               double cutoff_alpha) {
    Plan plan;
    plan.atomic_numbers = atomic_numbers;
    plan.elements.resize(atomic_numbers.size());
    const CutoffFunction cutoff{cutoff_type, 1.0, cutoff_alpha};
    for (const FunctionSpec& f : functions) {
        ElementPlan& element = plan.elements.at(f.element);
        element.n_functions = std::max(element.n_functions, f.column + 1);
        element.radius = std::max(element.radius, f.r_c);
        const RadialFactor factor = radial_factor(f, cutoff);
        if (is_radial(f.type)) element.radial.push_back({f.column, f.neighbor1, factor});
        else add_angular(element, f, factor);
    }
    for (ElementPlan& element : plan.elements) {
        plan.width = std::max(plan.width, element.n_functions);
        std::stable_sort(element.angular.begin(), element.angular.end(), [](const AngularGroup& a, const AngularGroup& b) {
            return std::tie(a.neighbor1, a.neighbor2, a.narrow, a.radius) < std::tie(b.neighbor1, b.neighbor2, b.narrow, b.radius);
        });
    }
    for (std::size_t i = 0; i < plan.elements.size(); ++i) {
        plan.elements[i].sensitive.resize(plan.elements.size());
        for (const FunctionSpec& f : functions) {
            if (f.element != int(i)) continue;
            for (int e = 0; e < int(plan.elements.size()); ++e)
                if (f.neighbor1 < 0 || f.neighbor1 == e || (f.neighbor2 == e && !is_radial(f.type)))
                    plan.elements[i].sensitive[e].push_back(f.column);
        }
        for (auto& columns : plan.elements[i].sensitive) std::sort(columns.begin(), columns.end());
    }
    return plan;
}

}  // namespace bnnp

#include "plan/symmetry_functions.hpp"

#include <algorithm>
#include <cmath>

namespace bnnp {

namespace {

constexpr int largest_degree = 4;  // of the moments

bool is_narrow(int type) { return type == 3 || type == 8 || type == 13 || type == 21 || type == 24; }
bool is_radial(int type) { return type <= 2 || type == 4 || type == 12 || type == 20 || type == 23; }
bool is_compact(int type) { return type >= 20 && type <= 25; }
bool is_separable(const FunctionSpec& f) {
    return f.type == 9 && f.zeta == std::floor(f.zeta) && f.zeta >= 1 && f.zeta <= largest_degree;
}
bool is_weighted(int type) { return type == 12 || type == 13 || (type >= 23 && type <= 25); }

bool operator==(const CutoffFunction& a, const CutoffFunction& b) {
    return a.type == b.type && a.radius == b.radius && a.inner == b.inner;
}

bool operator==(const RadialFactor& a, const RadialFactor& b) {
    return a.kind == b.kind && a.envelope == b.envelope && a.eta == b.eta && a.r_s == b.r_s &&
           a.center == b.center && a.half_width == b.half_width && a.core == b.core &&
           a.asymmetric == b.asymmetric;
}

bool operator==(const Angle& a, const Angle& b) {
    return a.kind == b.kind && a.lambda == b.lambda && a.zeta == b.zeta && a.eta == b.eta &&
           a.theta_s == b.theta_s && a.center == b.center && a.half_width == b.half_width && a.core == b.core;
}

// Index of the first element for which `same` holds, appended if there is none.
template <typename Item, typename Same>
int index_of(std::vector<Item>& items, const Item& item, Same same) {
    const auto found = std::find_if(items.begin(), items.end(), same);
    if (found != items.end()) return int(found - items.begin());
    items.push_back(item);
    return int(items.size()) - 1;
}

int envelope_of(ElementPlan& element, const FunctionSpec& f, int cutoff_type, double cutoff_alpha) {
    Envelope envelope{{cutoff_type, f.r_c, cutoff_alpha * f.r_c}, is_weighted(f.type)};
    if (f.type == 1) envelope.cutoff = {1, f.r_c, 0.0};         // RuNNer's type 1 is always the cosine
    if (is_compact(f.type)) envelope.cutoff = {0, f.r_c, 0.0};  // these functions end by themselves
    return index_of(element.envelopes, envelope, [&](const Envelope& other) {
        return other.cutoff == envelope.cutoff && other.weighted == envelope.weighted;
    });
}

RadialFactor radial_factor(const FunctionSpec& f, int envelope) {
    RadialFactor factor;
    factor.envelope = envelope;
    if (is_compact(f.type)) {
        factor.kind = RadialKind::compact;
        factor.center = 0.5 * (f.r_l + f.r_c);
        factor.half_width = 0.5 * (f.r_c - f.r_l);
        factor.core = f.core;
        factor.asymmetric = f.asymmetric;
    } else if (f.type == 4) {
        factor.kind = RadialKind::cosine;
        factor.eta = f.eta;
    } else if (f.type != 1 && f.type != 8) {
        factor.eta = f.eta;
        factor.r_s = f.r_s;
    }
    return factor;
}

Angle angle_of(const FunctionSpec& f) {
    Angle angle;
    if (is_compact(f.type)) {
        angle.kind = AngleKind::compact;
        angle.center = 0.5 * (f.angle_left + f.angle_right);
        angle.half_width = 0.5 * (f.angle_right - f.angle_left);
        angle.core = f.core;
    } else if (f.type == 8) {
        angle.kind = AngleKind::gaussian;
        angle.eta = f.eta;
        angle.theta_s = f.r_s;
    } else {
        angle.lambda = f.lambda;
        angle.zeta = f.zeta;
        angle.prefactor = std::exp2(1.0 - f.zeta);
        angle.integer_zeta = f.zeta == std::floor(f.zeta) && f.zeta <= 1024 ? int(f.zeta) : 0;
    }
    return angle;
}

void add_angular(ElementPlan& element, const FunctionSpec& f, const RadialFactor& factor) {
    AngularBundle empty;
    empty.neighbor1 = std::min(f.neighbor1, f.neighbor2);
    empty.neighbor2 = std::max(f.neighbor1, f.neighbor2);
    empty.narrow = is_narrow(f.type);
    empty.separable = is_separable(f);
    empty.radius = f.r_c;
    const auto same = [&](const AngularBundle& other) {
        return other.neighbor1 == empty.neighbor1 && other.neighbor2 == empty.neighbor2 &&
               other.narrow == empty.narrow && other.separable == empty.separable &&
               other.radius == empty.radius;
    };
    AngularBundle& bundle = element.bundles[index_of(element.bundles, empty, same)];
    const Angle angle = angle_of(f);
    const int index = index_of(bundle.angles, angle, [&](const Angle& other) { return other == angle; });
    const int group = index_of(bundle.groups, AngularGroup{factor, {}},
                               [&](const AngularGroup& other) { return other.factor == factor; });
    bundle.groups[group].members.push_back({f.column, index});
    if (factor.kind != RadialKind::gaussian || factor.r_s != 0.0 ||
        factor.envelope != bundle.groups[0].factor.envelope)
        bundle.centered_gaussians = false;
}

// prefactor (1 + lambda c)^zeta in powers of c
std::vector<double> powers_of(const Angle& angle) {
    std::vector<double> powers{angle.prefactor};
    for (int n = 1; n <= angle.integer_zeta; ++n)
        powers.push_back(powers.back() * angle.lambda * (angle.integer_zeta - n + 1) / n);
    return powers;
}

Moments make_moments(const std::vector<AngularBundle>& bundles) {
    Moments moments;
    for (const AngularBundle& bundle : bundles) {
        if (!bundle.separable) continue;
        const MomentPair empty{bundle.neighbor1, bundle.neighbor2, {}};
        MomentPair& pair = moments.pairs[index_of(moments.pairs, empty, [&](const MomentPair& other) {
            return other.neighbor1 == empty.neighbor1 && other.neighbor2 == empty.neighbor2;
        })];
        for (const AngularGroup& group : bundle.groups) {
            const int factor = index_of(moments.factors, group.factor,
                                        [&](const RadialFactor& other) { return other == group.factor; });
            for (const AngularMember& member : group.members) {
                const Angle& angle = bundle.angles[member.angle];
                moments.degree = std::max(moments.degree, angle.integer_zeta);
                pair.members.push_back({member.column, factor, powers_of(angle)});
            }
        }
    }
    for (int n = 0; n <= moments.degree; ++n)
        for (int s = 0; s <= n; ++s)
            for (int c = 0; c <= s; ++c)
                moments.weights.push_back(std::tgamma(n + 1) * std::tgamma(n - s + 1) *
                                          std::tgamma(s - c + 1) * std::tgamma(c + 1));
    return moments;
}

}  // namespace

Plan make_plan(const std::vector<double>& atomic_numbers, const std::vector<FunctionSpec>& functions,
               int cutoff_type, double cutoff_alpha) {
    Plan plan;
    plan.atomic_numbers = atomic_numbers;
    plan.elements.resize(atomic_numbers.size());
    for (const FunctionSpec& f : functions) {
        ElementPlan& element = plan.elements.at(f.element);
        element.n_functions = std::max(element.n_functions, f.column + 1);
        element.radius = std::max(element.radius, f.r_c);
        const RadialFactor factor = radial_factor(f, envelope_of(element, f, cutoff_type, cutoff_alpha));
        if (is_radial(f.type)) element.radial.push_back({f.column, f.neighbor1, factor});
        else add_angular(element, f, factor);
    }
    for (ElementPlan& element : plan.elements) {
        plan.width = std::max(plan.width, element.n_functions);
        element.moments = make_moments(element.bundles);
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

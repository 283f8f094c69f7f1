#include "evaluator.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/sample_forces.hpp"

namespace bnnp {

namespace {

const double ROUNDING = 1e-10;  // spread of a function, relative to its size, below which it never varied

}  // namespace

Evaluator::Evaluator(const PotentialData& potential)
    : potential(potential), kernels(choose_kernels()), scale(1.0 / potential.conv_energy) {
    std::vector<double> numbers;
    std::vector<FunctionSpec> functions;
    std::vector<std::vector<LayerSpec>> layers;
    for (const Element& element : potential.elements) {
        numbers.push_back(element.number);
        layers.push_back(element.layers);
        for (const SymmetryFunction& function : element.functions) {
            functions.push_back(function.spec);
            largest_radius = std::max(largest_radius, function.spec.r_c);
        }
    }
    plan = make_plan(numbers, functions, potential.cutoff_type, potential.cutoff_alpha);
    networks = plan_networks(layers, potential.samples, plan.width, potential.normalize_nodes);
    set_scaling();
    clear();
}

// The formulas of bnnp.descriptors.scaling; factor 0 where a function never varied and would divide by zero.
void Evaluator::set_scaling() {
    const std::size_t size = potential.elements.size() * std::size_t(plan.width);
    shift.assign(size, 0.0), factor.assign(size, 1.0), offset.assign(size, 0.0);
    const std::string& kind = potential.scaling;
    for (std::size_t e = 0; e < potential.elements.size() && kind != "none"; ++e) {
        const Ranges& ranges = potential.elements[e].ranges;
        for (std::size_t f = 0; f < ranges.minimum.size(); ++f) {
            const std::size_t k = e * plan.width + f;
            const double minimum = ranges.minimum[f], maximum = ranges.maximum[f], spread = maximum - minimum;
            shift[k] = kind == "scale" ? minimum : ranges.mean[f];
            if (kind == "center") continue;
            const double width = kind == "sigma" ? ranges.sigma[f] : spread;
            const double rounding = ROUNDING * std::max(std::abs(minimum), std::abs(maximum));
            const bool dead =
                spread <= std::max(rounding, std::numeric_limits<double>::min()) || width <= 0.0;
            factor[k] = dead ? 0.0 : (potential.s_max - potential.s_min) / width;
            offset[k] = potential.s_min;
        }
    }
    slopes = factor;
    for (double& slope : slopes) slope *= scale;
}

void Evaluator::clear() {
    centers.clear();
    neighbor_types.clear();
    vectors.clear();
    offsets.assign(1, 0);
}

void Evaluator::add_center(int element) {
    centers.push_back(element);
    offsets.push_back(offsets.back());
}

void Evaluator::add_neighbor(int element, double x, double y, double z) {
    neighbor_types.push_back(element);
    vectors.insert(vectors.end(), {x, y, z});
    ++offsets.back();
}

void Evaluator::evaluate(const SampleRows& rows) {
    const std::int64_t n = n_centers(), n_pairs = offsets.back();
    // The core wants an element for every neighbor: each pair has a row of its own behind the centers.
    types = centers;
    types.insert(types.end(), neighbor_types.begin(), neighbor_types.end());
    neighbors.resize(n_pairs);
    for (std::int64_t p = 0; p < n_pairs; ++p) neighbors[p] = std::int32_t(n + p);
    const PairList pairs{n, offsets.data(), neighbors.data(), vectors.data(), types.data()};
    const std::size_t width = plan.width;

    values.resize(n * width);
    Task descriptors;
    descriptors.G = values.data();
    kernels.symmetry_functions(plan, pairs, descriptors, false, {0, n});
    scale_inputs();

    energy.resize(n * potential.samples);
    gradient.resize(n * width);
    SampleTask samples;
    samples.types = types.data();
    samples.inputs = inputs.data();
    samples.energies = energy.data();
    samples.gradient = gradient.data();
    if (rows.forces) {
        delta.resize(n * networks.span * networks.sample_row());
        samples.delta = delta.data();
    }
    kernels.sample_networks(networks, samples, {0, n});
    scale_outputs();

    dE_dD.resize(3 * n_pairs);
    Task reverse;
    reverse.sweep = Sweep::vjp;
    reverse.dE_dG = gradient.data();
    reverse.dE_dD = dE_dD.data();
    kernels.symmetry_functions(plan, pairs, reverse, false, {0, n});
    if (potential.repulsion) add_repulsion();
    if (rows.forces) sample_forces(pairs, rows);
}

// Half of each pair, as the list has it twice.
void Evaluator::add_repulsion() {
    const double reach = potential.repulsion.outer * potential.repulsion.outer;
    for (int i = 0; i < n_centers(); ++i)
        for (std::int64_t p = offsets[i]; p < offsets[i + 1]; ++p) {
            const double *D = vector(p), square = D[0] * D[0] + D[1] * D[1] + D[2] * D[2];
            if (square >= reach) continue;
            const double r = std::sqrt(square);
            const int first = potential.elements[centers[i]].number;
            const int second = potential.elements[neighbor_types[p]].number;
            const auto found = potential.repulsion(first, second, r, potential.angstrom, potential.ev);
            for (int s = 0; s < potential.samples; ++s)
                energy[std::size_t(i) * potential.samples + s] += 0.5 * found.energy;
            for (int c = 0; c < 3; ++c) dE_dD[3 * p + c] += 0.5 * found.slope * D[c] / r;
        }
}

void Evaluator::scale_inputs() {
    const std::size_t width = plan.width;
    inputs.resize(values.size());
    for (std::size_t i = 0; i < centers.size(); ++i)
        for (std::size_t f = 0, k = centers[i] * width, m = i * width; f < width; ++f, ++k, ++m)
            inputs[m] = (values[m] - shift[k]) * factor[k] + offset[k];
}

void Evaluator::scale_outputs() {
    const std::size_t width = plan.width;
    for (double& e : energy) e = e * scale + potential.mean_energy;
    for (std::size_t i = 0; i < centers.size(); ++i)
        for (std::size_t f = 0; f < width; ++f) gradient[i * width + f] *= slopes[centers[i] * width + f];
}

void Evaluator::sample_forces(const PairList& pairs, const SampleRows& rows) {
    SampleForceTask task;
    task.factors = slopes.data();
    task.delta = delta.data();
    task.centers = rows.centers;
    task.neighbors = rows.neighbors;
    task.forces = rows.forces;
    add_sample_forces(kernels, plan, pairs, networks, task, 1);
}

}  // namespace bnnp

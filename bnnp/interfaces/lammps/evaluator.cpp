#include "evaluator.hpp"

#include "kernels/sample_forces.hpp"

namespace bnnp {

Evaluator::Evaluator(const Potential& potential)
    : potential(potential),
      kernels(choose_kernels()),
      scale(1.0 / potential.input.conv_energy),
      factors(potential.factor) {
    for (double& factor : factors) factor *= scale;
    clear();
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
    const std::size_t width = potential.plan.width, samples = potential.samples;

    values.resize(n * width);
    Task descriptors;
    descriptors.G = values.data();
    kernels.symmetry_functions(potential.plan, pairs, descriptors, false, {0, n});
    scale_inputs();

    energy.resize(n * samples);
    gradient.resize(n * width);
    SampleTask networks;
    networks.types = types.data();
    networks.inputs = inputs.data();
    networks.energies = energy.data();
    networks.gradient = gradient.data();
    if (rows.forces) {
        delta.resize(n * potential.networks.span * potential.networks.sample_row());
        networks.delta = delta.data();
    }
    kernels.sample_networks(potential.networks, networks, {0, n});
    scale_outputs();

    dE_dD.resize(3 * n_pairs);
    Task reverse;
    reverse.sweep = Sweep::vjp;
    reverse.dE_dG = gradient.data();
    reverse.dE_dD = dE_dD.data();
    kernels.symmetry_functions(potential.plan, pairs, reverse, false, {0, n});
    if (rows.forces) sample_forces(pairs, rows);
}

void Evaluator::scale_inputs() {
    const std::size_t width = potential.plan.width;
    inputs.resize(values.size());
    for (std::size_t i = 0; i < centers.size(); ++i)
        for (std::size_t f = 0, k = centers[i] * width, m = i * width; f < width; ++f, ++k, ++m)
            inputs[m] = (values[m] - potential.shift[k]) * potential.factor[k] + potential.offset[k];
}

void Evaluator::scale_outputs() {
    const std::size_t width = potential.plan.width;
    for (double& e : energy) e = e * scale + potential.input.mean_energy;
    for (std::size_t i = 0; i < centers.size(); ++i)
        for (std::size_t f = 0; f < width; ++f) gradient[i * width + f] *= factors[centers[i] * width + f];
}

void Evaluator::sample_forces(const PairList& pairs, const SampleRows& rows) {
    SampleForceTask task;
    task.factors = factors.data();
    task.delta = delta.data();
    task.centers = rows.centers;
    task.neighbors = rows.neighbors;
    task.forces = rows.forces;
    add_sample_forces(kernels, potential.plan, pairs, potential.networks, task, 1);
}

}  // namespace bnnp

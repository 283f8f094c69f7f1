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
    if (potential.electrostatics.by_networks()) networks.n_samples = potential.samples;  // see charged.hpp
    else
        networks = plan_networks(layers, potential.samples, plan.width, potential.normalize_nodes,
                                 potential.centered);
    set_scaling();
    if (potential.calibration.hybrid()) set_probes();
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

// Each network with its last hidden nodes projected on the directions u_k, by a layer whose nodes are added
// up; the mask of sample k keeps node k only. As bnnp.uncertainty.training_statistics.probes.
void Evaluator::set_probes() {
    int count = 0, first = 0;
    for (const Element& element : potential.elements) count += int(element.statistics.feature_mean.size());
    probe_means.assign(potential.elements.size() * count, 0.0);
    std::vector<std::vector<LayerSpec>> all;
    for (const Element& element : potential.elements) {
        const TrainingStatistics& own = element.statistics;
        distances.emplace_back(own, element.ranges);
        const std::vector<double> directions = own.directions();
        const int h = int(own.feature_mean.size());
        std::vector<LayerSpec> layers = element.layers;
        for (LayerSpec& layer : layers) layer.masks.clear();
        const double into = potential.normalize_nodes ? h : 1.0,
                     out = potential.normalize_nodes ? count : 1.0;
        LayerSpec& projection = layers.back();
        projection.n_out = count, projection.activation = 'l';
        projection.weights.assign(std::size_t(h) * count, 0.0);
        projection.biases.assign(count, 0.0);
        for (int k = 0; k < h; ++k)
            for (int u = 0; u < h; ++u) {
                projection.weights[std::size_t(u) * count + first + k] = into * directions[k * h + u];
                probe_means[all.size() * count + first + k] += directions[k * h + u] * own.feature_mean[u];
            }
        LayerSpec sum{count, 1, 'l', std::vector<double>(count, out), {0.0}, {}};
        sum.masks.assign(std::size_t(count) * count, 0.0);
        for (int k = 0; k < count; ++k) sum.masks[std::size_t(k) * count + k] = 1.0;
        layers.push_back(std::move(sum));
        all.push_back(std::move(layers));
        first += h;
    }
    probes = plan_networks(all, count, plan.width, potential.normalize_nodes);
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

// The core wants an element for every neighbor: each pair has a row of its own behind the centers.
PairList Evaluator::pair_list() {
    const std::int64_t n = n_centers(), n_pairs = offsets.back();
    types = centers;
    types.insert(types.end(), neighbor_types.begin(), neighbor_types.end());
    neighbors.resize(n_pairs);
    for (std::int64_t p = 0; p < n_pairs; ++p) neighbors[p] = std::int32_t(n + p);
    return {n, offsets.data(), neighbors.data(), vectors.data(), types.data()};
}

PairList Evaluator::find_functions() {
    const PairList pairs = pair_list();
    values.resize(pairs.n_atoms * std::size_t(plan.width));
    Task descriptors;
    descriptors.G = values.data();
    kernels.symmetry_functions(plan, pairs, descriptors, potential.single, {0, pairs.n_atoms});
    scale_inputs();
    return pairs;
}

// dE/dD from `gradient`.
void Evaluator::reverse(const PairList& pairs) {
    dE_dD.resize(3 * offsets.back());
    Task task;
    task.sweep = Sweep::vjp;
    task.dE_dG = gradient.data();
    task.dE_dD = dE_dD.data();
    kernels.symmetry_functions(plan, pairs, task, potential.single, {0, pairs.n_atoms});
}

void Evaluator::evaluate(const SampleRows& rows, bool parts) {
    const PairList pairs = find_functions();
    const std::int64_t n = pairs.n_atoms;
    energy.resize(n * potential.samples);
    gradient.resize(n * std::size_t(plan.width));
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
    reverse(pairs);
    if (potential.repulsion) add_repulsion();
    if (rows.forces) {
        SampleForceTask task;
        task.factors = slopes.data(), task.delta = delta.data(), task.forces = rows.forces;
        sample_forces(pairs, networks, rows, task);
    }
    if (parts) find_parts(pairs, rows);
}

void Evaluator::differentiate(const double* own_values, const double* energies, const double* own_gradient,
                              const double* gradients, std::int64_t n_rows, const SampleRows& rows) {
    const PairList pairs = pair_list();
    const std::size_t size = std::size_t(n_centers()) * plan.width, row = networks.sample_row();
    values.assign(own_values, own_values + size);
    energy.assign(energies, energies + std::size_t(n_centers()) * potential.samples);
    for (int s = 0; rows.forces && s < potential.samples; ++s) {
        const double* own = gradients + s * n_rows * std::size_t(plan.width);
        gradient.assign(own, own + size);
        reverse(pairs);
        for (int i = 0; i < n_centers(); ++i)
            for (std::int64_t p = offsets[i]; p < offsets[i + 1]; ++p)
                for (int c = 0; c < 3; ++c) {
                    const double g = dE_dD[3 * p + c];
                    rows.forces[(3 * std::size_t(rows.centers[i]) + c) * row + s] += g;
                    rows.forces[(3 * std::size_t(rows.neighbors[p]) + c) * row + s] -= g;
                }
    }
    gradient.assign(own_gradient, own_gradient + size);
    reverse(pairs);
    if (potential.repulsion) add_repulsion();
}

void Evaluator::add_energy(int center, double value) {
    const std::size_t first = std::size_t(center) * potential.samples;
    for (int s = 0; s < potential.samples; ++s) energy[first + s] += value;
}

void Evaluator::find_parts(const PairList& pairs, const SampleRows& rows) {
    const std::int64_t n = pairs.n_atoms;
    const std::size_t count = probes.n_samples;
    probed.resize(n * count), far.resize(n), near.resize(n), unseen.resize(n);
    SampleTask samples;
    samples.types = types.data(), samples.inputs = inputs.data(), samples.energies = probed.data();
    if (rows.last_layer) {
        probe_delta.resize(n * probes.span * probes.sample_row());
        samples.delta = probe_delta.data();
    }
    kernels.sample_networks(probes, samples, {0, n});
    for (std::int64_t i = 0; i < n; ++i) {
        const double* means = &probe_means[centers[i] * count];
        for (std::size_t k = 0; k < count; ++k) probed[i * count + k] -= means[k];
        const Distance& distance = distances[centers[i]];
        double closest = 0.0;
        bool met = !distance.unseen(&values[i * plan.width]);
        present.assign(distances.size(), false);
        present[centers[i]] = true;
        for (std::int64_t p = offsets[i]; p < offsets[i + 1]; ++p) {
            const double *D = vector(p), square = D[0] * D[0] + D[1] * D[1] + D[2] * D[2];
            closest = std::max(closest, distance.closeness(neighbor_types[p], square));
            met = met && !distance.never_met(neighbor_types[p]);
            present[neighbor_types[p]] = true;
        }
        for (std::size_t x = 0; met && x < present.size(); ++x)
            for (std::size_t y = 0; met && y < present.size(); ++y)
                met = x == y || !present[x] || !present[y] || !distances[x].never_met(int(y));
        unseen[i] = !met;
        near[i] = closest;
        far[i] = distance.square(&values[i * plan.width]) + closest * closest;
    }
    if (!rows.last_layer) return;
    SampleForceTask task;
    task.factors = factor.data(), task.delta = probe_delta.data(), task.forces = rows.last_layer;
    sample_forces(pairs, probes, rows, task);
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

void Evaluator::sample_forces(const PairList& pairs, const NetworkPlan& of, const SampleRows& rows,
                              SampleForceTask task) const {
    task.centers = rows.centers;
    task.neighbors = rows.neighbors;
    add_sample_forces(kernels, plan, pairs, of, task, 1);
}

}  // namespace bnnp

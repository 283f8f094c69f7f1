#include "charged.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "potential/text.hpp"

namespace bnnp {

namespace {

constexpr double TOLERANCE = 0.05;  // e: as bnnp.charges
constexpr int PLAIN = -1;           // in place of a sample

// The layers of the networks of all elements, with the masks of one sample.
template <typename Of>
std::vector<std::vector<LayerSpec>> layers_of(const PotentialData& potential, int sample, Of of) {
    std::vector<std::vector<LayerSpec>> found;
    for (const Element& element : potential.elements) {
        found.push_back(of(element).layers);
        for (LayerSpec& layer : found.back()) {
            const std::vector<double> all = std::move(layer.masks);
            layer.masks.clear();
            for (std::size_t u = 0; sample != PLAIN && u < all.size(); u += potential.samples)
                layer.masks.push_back(all[u + sample]);
        }
    }
    return found;
}

}  // namespace

void OwnAtoms::add(const Evaluator& block, bool functions) {
    for (int c = 0; c < block.n_centers(); ++c) {
        elements.push_back(block.element(c));
        if (!functions) continue;
        values.insert(values.end(), block.functions(c), block.functions(c) + block.width());
        inputs.insert(inputs.end(), block.scaled_functions(c), block.scaled_functions(c) + block.width());
    }
}

Charged::Charged(const PotentialData& potential, const Evaluator& evaluator, MPI_Comm world)
    : potential(potential),
      electrostatics(potential.electrostatics),
      evaluator(evaluator),
      world(world),
      width(evaluator.width()) {
    if (!electrostatics.by_networks()) return;
    if (plain_first()) members.push_back(member_of(PLAIN));
    for (int s = 0; s < potential.samples; ++s) members.push_back(member_of(s));
}

Charged::Member Charged::member_of(int sample) const {
    const auto energies = [](const Element& element) -> const TrainedNetwork& { return element; };
    const auto charges = [](const Element& element) -> const TrainedNetwork& { return element.charges; };
    const bool normalize = potential.normalize_nodes;
    const int inputs = width + electrostatics.equilibrated();
    return {plan_networks(layers_of(potential, sample, charges), 1, width, normalize),
            plan_networks(layers_of(potential, sample, energies), 1, inputs, normalize)};
}

// One evaluation. The first networks of `members` have a part, and the first of these are differentiated.
struct Charged::Step {
    const OwnAtoms& own;
    const ChargedAtoms& all;
    Coulomb coulomb;
    std::int64_t count = 1;
    bool sample_forces = false;
    std::vector<Slopes> slopes;
    Columns Q, potentials, adjoint;  // of all atoms, one column for each network

    std::int64_t n() const { return own.n(); }
    std::int64_t n_all() const { return all.n(); }
};

std::string Charged::evaluate(const OwnAtoms& own, const ChargedAtoms& all, double total, bool samples,
                              bool sample_forces_wanted) {
    std::fill(virial, virial + 6, 0.0);
    if (all.n() == 0) return "";
    if (all.n() > LARGEST)
        return "there are " + std::to_string(all.n()) +
               " atoms with charges, whose matrix of interactions is " + "computed for " +
               std::to_string(LARGEST) +
               " at most. Take a smaller cell, or mode 3 or ASE, whose limits are memory and time";
    Step step{own, all, Coulomb(evaluator.all_kernels(), world, electrostatics, all)};
    step.sample_forces = sample_forces_wanted && electrostatics.by_networks();
    if (electrostatics.by_networks() && (!plain_first() || samples || step.sample_forces))
        step.count = std::int64_t(members.size());
    step.slopes.resize(plain_first() && !step.sample_forces ? 1 : step.count);
    const std::string reason =
        electrostatics.by_networks() ? solve_charges(step, total) : set_fixed_charges(step, total);
    if (!reason.empty()) return reason;
    find_energies(step);
    find_forces(step);
    return "";
}

// ---- charges ----------------------------------------------------------------------------------------------

std::string Charged::set_fixed_charges(Step& step, double total) const {
    double sum = 0.0;
    for (const int element : step.all.elements) {
        step.Q.push_back(electrostatics.values[element]);
        sum += step.Q.back();
    }
    if (std::abs(sum - total) <= TOLERANCE) return "";
    return "the charges of the atoms (fixed_charge of input.nn) add up to " + number(sum, 4) +
           ", but the total charge (`charge` of pair_style bnnp) is " + number(total, 4) +
           ". Correct one of them";
}

std::string Charged::solve_charges(Step& step, double total) const {
    if (electrostatics.equilibrated()) {
        std::vector<double> J;
        for (const int element : step.all.elements)
            J.push_back(electrostatics.four_pi_epsilon * potential.elements[element].hardness);
        const std::int64_t bad = step.coulomb.factorize(J);
        if (bad >= 0)
            return "the charges have no equilibrium, because the matrix of hardness and interaction is not "
                   "positive definite, as atom " +
                   std::to_string(step.all.tags[bad]) + " (" +
                   potential.elements[step.all.elements[bad]].symbol +
                   ") shows. Give a finer ewald_prec, or look at hardness.XXX.data and fixed_gausswidth";
    }
    step.Q.assign(step.count * step.n_all(), 0.0);
    std::vector<double> outputs(step.n());
    for (std::int64_t t = 0; t < step.count; ++t) {
        SampleTask task;
        task.types = step.own.elements.data(), task.inputs = step.own.inputs.data();
        task.energies = outputs.data();
        if (t < std::int64_t(step.slopes.size())) {
            step.slopes[t].of_charges.resize(step.n() * width);
            task.gradient = step.slopes[t].of_charges.data();
        }
        evaluator.all_kernels().sample_networks(members[t].of_charges, task, {0, step.n()});
        for (std::int64_t i = 0; i < step.n(); ++i)
            step.Q[t * step.n_all() + step.own.places[i]] = unit() * outputs[i];
    }
    share(step.Q);
    solve(step, step.Q, total);
    return "";
}

// From outputs of the networks of charges to the right side of the equations.
double Charged::unit() const {
    if (!electrostatics.equilibrated()) return 1.0 / electrostatics.conv_charge;
    return -electrostatics.four_pi_epsilon * electrostatics.conv_charge / potential.conv_energy;
}

// In place the solution of the equations of the charges that adds up to `total`, of each column.
void Charged::solve(const Step& step, Columns& columns, double total) const {
    if (electrostatics.equilibrated()) return step.coulomb.solve(columns, total);
    const std::int64_t n = step.n_all();
    for (std::size_t at = 0; at < columns.size(); at += n) {
        double missing = total;
        for (std::int64_t i = 0; i < n; ++i) missing -= columns[at + i];
        for (std::int64_t i = 0; i < n; ++i) columns[at + i] += missing / double(n);
    }
}

// From columns with the numbers of this rank's atoms, and zeros, to those of all.
void Charged::share(Columns& columns) const {
    MPI_Allreduce(MPI_IN_PLACE, columns.data(), int(columns.size()), MPI_DOUBLE, MPI_SUM, world);
}

// ---- energies ---------------------------------------------------------------------------------------------

void Charged::find_energies(Step& step) {
    const std::int64_t n = step.n(), n_all = step.n_all(), n_samples = potential.samples,
                       plain = plain_first();
    step.potentials = step.coulomb.potentials(step.Q);
    for (double& each : step.potentials) each /= electrostatics.four_pi_epsilon;
    step.adjoint.assign(step.slopes.size() * n_all, 0.0);  // dE/dQ of the networks at first
    energies.assign(n * n_samples, 0.0), charges.assign(n * n_samples, 0.0);
    std::vector<double> own(n), plain_energies, plain_charges;
    for (std::int64_t t = 0; t < step.count; ++t) {
        const double* Q = &step.Q[t * n_all];
        for (std::int64_t i = 0; i < n; ++i) {
            const std::int64_t place = step.own.places[i];
            own[i] = 0.5 * Q[place] * step.potentials[t * n_all + place];
        }
        if (electrostatics.by_networks()) add_short_range(step, t, own);
        for (std::int64_t i = 0; i < n; ++i)
            for (std::int64_t s = 0; s < n_samples; ++s) {
                // Samples that nobody asked for are as the plain network.
                if (step.count > 1 && s + plain != t) continue;
                energies[i * n_samples + s] = own[i];
                charges[i * n_samples + s] = Q[step.own.places[i]];
            }
        if (!plain || t > 0) continue;
        plain_energies = own;
        for (const std::int64_t place : step.own.places) plain_charges.push_back(Q[place]);
    }
    if (plain && step.count > 1) center(energies, plain_energies), center(charges, plain_charges);
}

// Adds the energies of the network t to `found` (n,); dE/dQ to `adjoint`, and fills the slopes.
void Charged::add_short_range(Step& step, std::int64_t t, std::vector<double>& found) const {
    const bool input = electrostatics.equilibrated(), differentiated = t < std::int64_t(step.slopes.size());
    const std::int64_t n = step.n(), first = t * step.n_all(), inputs = width + input;
    const double unit = 1.0 / potential.conv_energy;
    std::vector<double> all(step.own.inputs), outputs(n), gradient(differentiated ? n * inputs : 0);
    std::vector<std::int64_t> columns(n);  // of the charge: behind the functions of its element
    if (input) {
        all.assign(n * inputs, 0.0);
        for (std::int64_t i = 0; i < n; ++i) {
            std::copy_n(&step.own.inputs[i * width], width, &all[i * inputs]);
            const Element& element = potential.elements[step.own.elements[i]];
            columns[i] = i * inputs + std::int64_t(element.functions.size());
            all[columns[i]] = electrostatics.conv_charge * step.Q[first + step.own.places[i]];
        }
    }
    SampleTask task;
    task.types = step.own.elements.data(), task.inputs = all.data(), task.energies = outputs.data();
    if (differentiated) task.gradient = gradient.data();
    evaluator.all_kernels().sample_networks(members[t].short_range, task, {0, n});
    for (std::int64_t i = 0; i < n; ++i) found[i] += outputs[i] * unit + potential.mean_energy;
    if (!differentiated) return;
    std::vector<double>& slopes = step.slopes[t].short_range;
    slopes.resize(n * width);
    for (std::int64_t i = 0; i < n; ++i) {
        if (input) {
            step.adjoint[first + step.own.places[i]] =
                unit * electrostatics.conv_charge * gradient[columns[i]];
            gradient[columns[i]] = 0.0;
        }
        for (int f = 0; f < width; ++f) slopes[i * width + f] = unit * gradient[i * inputs + f];
    }
}

// Shifts the samples of each atom, so that their mean is the plain network.
void Charged::center(std::vector<double>& values, const std::vector<double>& plain) const {
    const int n = potential.samples;
    for (std::size_t i = 0; i < plain.size(); ++i) {
        double mean = 0.0;
        for (int s = 0; s < n; ++s) mean += values[i * n + s] / n;
        for (int s = 0; s < n; ++s) values[i * n + s] += plain[i] - mean;
    }
}

// ---- derivatives ------------------------------------------------------------------------------------------

void Charged::find_forces(Step& step) {
    const bool networks = electrostatics.by_networks();
    const std::int64_t n = step.n(), n_all = step.n_all(), plain = plain_first();
    const std::int64_t n_samples = step.sample_forces ? potential.samples : 0, size = 3 * n_all;
    if (networks) {
        share(step.adjoint);
        for (std::size_t k = 0; k < step.adjoint.size(); ++k) step.adjoint[k] += step.potentials[k];
        solve(step, step.adjoint, 0.0);
    }
    gradient.assign(n * width, 0.0), sample_gradients.assign(n_samples * n * width, 0.0);
    std::vector<double> sums(size * (1 + n_samples), 0.0);  // of the mean, then of the samples
    for (std::int64_t t = 0; t < std::int64_t(step.slopes.size()); ++t) {
        const double weight = !plain ? 1.0 / double(step.slopes.size()) : t == 0 ? 1.0 : 0.0;
        const bool sample = n_samples > 0 && t >= plain;
        const std::vector<double> of_pairs = pair_forces(step, t, weight);
        for (std::int64_t k = 0; k < size; ++k) {
            sums[k] += weight * of_pairs[k];
            if (sample) sums[size * (1 + t - plain) + k] = of_pairs[k];
        }
        for (std::int64_t i = 0; networks && i < n; ++i) {
            const double z = unit() * step.adjoint[t * n_all + step.own.places[i]];
            const double* factors = evaluator.input_factors(step.own.elements[i]);
            for (std::int64_t f = 0, k = i * width; f < width; ++f, ++k) {
                const double slope =
                    factors[f] * (step.slopes[t].short_range[k] + z * step.slopes[t].of_charges[k]);
                gradient[k] += weight * slope;
                if (sample) sample_gradients[(t - plain) * n * width + k] = slope;
            }
        }
    }
    share(sums);
    forces.resize(3 * n), sample_forces.resize(3 * n * n_samples);
    for (std::int64_t i = 0; i < n; ++i)
        for (int c = 0; c < 3; ++c) {
            const std::int64_t at = 3 * step.own.places[i] + c;
            forces[3 * i + c] = sums[at];
            for (std::int64_t s = 0; s < n_samples; ++s)
                sample_forces[(3 * i + c) * n_samples + s] = sums[size * (1 + s) + at];
        }
}

// This rank's share of the electrostatic forces of network t, (n_all, 3), at fixed charges and adjoint; adds
// that of dE/d(strain) with `weight`.
std::vector<double> Charged::pair_forces(const Step& step, std::int64_t t, double weight) {
    const std::int64_t n = step.n_all();
    const double epsilon = electrostatics.four_pi_epsilon, *Q = &step.Q[t * n];
    std::vector<double> found(3 * n, 0.0), right(Q, Q + n);
    if (electrostatics.equilibrated())
        for (std::int64_t i = 0; i < n; ++i) right[i] -= 2.0 * epsilon * step.adjoint[t * n + i];
    double strained[6] = {};
    step.coulomb.add_derivatives(Q, right.data(), 1.0 / epsilon, found.data(), strained);
    for (int v = 0; v < 6; ++v) virial[v] += weight * strained[v];
    return found;
}

void Charged::evaluate_block(Evaluator& evaluator, const OwnAtoms& own, std::int64_t first,
                             const SampleRows& rows, bool parts) const {
    if (!electrostatics.by_networks()) {
        evaluator.evaluate(rows, parts);
        for (int c = 0; c < evaluator.n_centers(); ++c)
            evaluator.add_energy(c, energies[(first + c) * potential.samples]);
        return;
    }
    const std::int64_t at = first * width;
    evaluator.differentiate(own.values.data() + at, energies.data() + first * potential.samples,
                            gradient.data() + at, sample_gradients.data() + at, own.n(), rows);
}

}  // namespace bnnp

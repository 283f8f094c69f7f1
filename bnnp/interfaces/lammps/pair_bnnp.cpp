#include "pair_bnnp.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "domain.h"
#include "error.h"
#include "fix_bnnp.h"
#include "force.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "report.hpp"
#include "timer.h"
#include "update.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace {

const int NUMBERS = 5;   // of a run, the first of compute pair
const int BLOCK = 64;    // centers evaluated at once
const int MESSAGE = 24;  // components of sample forces a ghost atom sends at once
const double PI = 3.14159265358979323846;
const double KCAL_PER_MOL = 23.060547830619;  // of one eV: e N_A / 4184 J
// Of a trial that has no energy in this potential: LAMMPS' own for an overlap (fix gcmc overlap_cutoff).
const double FORBIDDEN = 1e100;
const double CHARGE_TOLERANCE = 0.05;  // e: as bnnp.charges

// Standard deviation of n values, with n - 1.
double deviation(const double* values, int n) {
    double mean = 0.0, square = 0.0;
    for (int s = 0; s < n; ++s) mean += values[s];
    mean /= n;
    for (int s = 0; s < n; ++s) square += (values[s] - mean) * (values[s] - mean);
    return n > 1 ? std::sqrt(square / (n - 1)) : 0.0;
}

double length_of(const double* values, int n) {
    double square = 0.0;
    for (int k = 0; k < n; ++k) square += values[k] * values[k];
    return std::sqrt(square);
}

// The files of a directory for all ranks. One rank reads them, all get them: all find the same mistakes.
bnnp::Content files_for_all(MPI_Comm world, const std::string& directory) {
    return [world, files = bnnp::files_of(directory)](const std::string& name) {
        int rank = 0;
        MPI_Comm_rank(world, &rank);
        std::optional<std::string> text = rank == 0 ? files(name) : std::nullopt;
        int size = text ? int(text->size()) : -1;
        MPI_Bcast(&size, 1, MPI_INT, 0, world);
        if (size < 0) return text;
        if (!text) text = std::string(size, ' ');
        MPI_Bcast(&(*text)[0], size, MPI_CHAR, 0, world);
        return text;
    };
}

}  // namespace

PairBNNP::PairBNNP(LAMMPS* lmp) : Pair(lmp), exclusions(lmp), fix_id("BNNP_" + std::to_string(instance_me)) {
    single_enable = 0;
    restartinfo = 0;
    one_coeff = 1;
    manybody_flag = 1;
    centroidstressflag = CENTROID_AVAIL;
    nextra = NUMBERS;
    pvector = new double[nextra]();
    comm_reverse = MESSAGE;
}

PairBNNP::~PairBNNP() {
    if (copymode) return;
    if (modify->get_fix_by_id(fix_id)) modify->delete_fix(fix_id);
    delete[] pvector;
    pvector = nullptr;
    memory->destroy(forces_std);
    for (double* each : {energies_std, charges, charges_std}) memory->destroy(each);
    if (allocated) {
        memory->destroy(setflag);
        memory->destroy(cutsq);
    }
}

void PairBNNP::allocate() {
    const int n = atom->ntypes + 1;
    memory->create(setflag, n, n, "pair:setflag");
    memory->create(cutsq, n, n, "pair:cutsq");
    for (int i = 1; i < n; ++i)
        for (int j = 1; j < n; ++j) setflag[i][j] = 0;
    map = new int[n];  // Pair's destructor deletes it
    allocated = 1;
}

// ---- the input script -------------------------------------------------------------------------------------

void PairBNNP::settings(int narg, char** arg) {
    options = read_options(lmp, narg, arg);
    if (!potential) return;
    choose_calibration();  // given again, with other keywords
    set_vector();
}

void PairBNNP::coeff(int narg, char** arg) {
    if (!allocated) allocate();
    if (narg != 3 + atom->ntypes)
        fail("expected `pair_coeff * * DIRECTORY` and " + std::to_string(atom->ntypes) +
             " elements, one (or NULL) for each atom type, got " + std::to_string(std::max(0, narg - 3)));
    const std::string directory = arg[2];
    try {
        const auto data = bnnp::read_potential(files_for_all(world, directory));
        bnnp::check_runs_here(data);
        charged.reset();
        evaluator.reset();
        potential = std::make_unique<bnnp::PotentialData>(data);
        evaluator = std::make_unique<bnnp::Evaluator>(*potential);
        if (potential->electrostatics)
            charged = std::make_unique<bnnp::Charged>(*potential, *evaluator, world);
    } catch (const std::exception& mistake) {
        fail(directory + ": " + mistake.what());
    }
    map_element2type(narg - 3, arg + 3);
    // Not within hybrid: NULL types interact with nothing, instead of with another style.
    if (force->pair == this)
        for (int i = 1; i <= atom->ntypes; ++i) std::fill(setflag[i] + 1, setflag[i] + atom->ntypes + 1, 1);
    const bnnp::Words known = potential->symbols();
    for (int type = 1; type <= atom->ntypes; ++type) {
        const std::string symbol = arg[type + 2];
        if (symbol == "NULL") continue;
        const auto found = std::find(known.begin(), known.end(), symbol);
        if (found == known.end())
            fail("element " + symbol + " of atom type " + std::to_string(type) +
                 " is not in this potential, which knows " + bnnp::join(known));
        map[type] = int(found - known.begin());
    }
    watch_steps();
    if (potential->samples < 2 && (options.max_energy > 0.0 || options.max_force > 0.0))
        fail("maxsigma needs the masks of uncertainty.data, but " + directory +
             " has none (or mc_samples below 2): this potential gives no uncertainty");
    say("bnnp potential " + directory + ": " + bnnp::describe(*potential) + "; kernels " +
        evaluator->kernel() + "\n");
    choose_calibration();
    set_vector();
}

// The numbers for compute pair: those of the run and, with `samples`, the energy of each. A compute that is
// there already reads as many as there were when it was made.
void PairBNNP::set_vector() {
    if (options.samples && potential->samples < 2)
        fail(
            "samples needs the masks of uncertainty.data (or mc_samples of 2 at least): there is one network "
            "only");
    nextra = NUMBERS + (options.samples ? potential->samples : 0);
    int size = nextra;
    for (const Compute* compute : modify->get_compute_by_style("pair"))
        size = std::max(size, compute->size_vector);
    delete[] pvector;
    pvector = new double[size]();
}

// With `raw` none; of the forces only if all elements have one, as in mode 3.
void PairBNNP::choose_calibration() {
    calibration = bnnp::Calibration();
    if (potential->samples < 2) return;
    if (!options.raw) {
        calibration = potential->calibration;
        bool complete = true;
        for (int type = 1; type <= atom->ntypes; ++type)
            complete = complete && (map[type] < 0 || calibration.forces[map[type]]);
        if (!complete) calibration.forces.clear();
    }
    say("bnnp standard deviations: " + bnnp::describe(calibration) +
        (options.raw ? ", as the keyword raw asks" : "") + "\n");
}

void PairBNNP::say(const std::string& message) const {
    if (comm->me == 0) utils::logmesg(lmp, message);
}

void PairBNNP::fail(const std::string& message) const { error->all(FLERR, "pair_style bnnp: " + message); }

// A fix without a command of its own: its style is known for this moment only.
void PairBNNP::watch_steps() {
    if (modify->get_fix_by_id(fix_id)) return;
    const std::string style = "BNNP";
    (*modify->fix_map)[style] = [](LAMMPS* lmp, int narg, char** arg) -> Fix* {
        return new FixBNNP(lmp, narg, arg);
    };
    auto fix = static_cast<FixBNNP*>(modify->add_fix(fix_id + " all " + style));
    fix->complete = [this] { complete_step(); };
    modify->fix_map->erase(style);
}

// ---- before a run -----------------------------------------------------------------------------------------

void PairBNNP::init_style() {
    if (!potential) fail("no pair_coeff");
    if (force->newton_pair == 0) fail("needs `newton on`: forces on atoms of other ranks are sent home");
    if (atom->tag_enable == 0) fail("needs atom IDs");
    if (atom->molecular != Atom::ATOMIC)
        for (int k = 1; k <= 3; ++k)
            if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
                fail(
                    "special_bonds removes bonded atoms from the neighbor lists; set "
                    "`special_bonds lj/coul 1 1 1`");
    set_units();
    check_charges();
    neighbor->add_request(this, NeighConst::REQ_FULL);
    watch_steps();
    exclusions.look(map);
    if (comm->me == 0 && exclusions.holes())
        error->warning(
            FLERR,
            "neigh_modify exclude takes out pairs of atoms that have a neighbor in common: to pair_style "
            "bnnp environments then lack atoms that are there. Exclude atoms from the group all, or "
            "whole parts of the system from each other");
    extrapolations_run = extrapolations_before = extrapolations_shown = 0.0;
    open = false;
    completed = -1;
    last_summary = update->ntimestep;
    stop_rule.begin();
}

void PairBNNP::set_units() {
    const std::string style = update->unit_style;
    if (style != "metal" && style != "real")
        fail(
            "works with `units metal` (Angstrom, eV) or `units real` (Angstrom, kcal/mol), not with `units " +
            style + "`");
    length_unit = potential->angstrom;
    energy_unit = potential->ev * (style == "real" ? KCAL_PER_MOL : 1.0);
    force_unit = energy_unit / length_unit;
}

// Boundaries, total charge, and what would change the sum of the charges.
void PairBNNP::check_charges() {
    if (force->pair == this && (tail_flag || offset_flag))
        fail("`pair_modify tail yes` and `shift yes` are for pair potentials: leave them out");
    if (!charged) {
        if (options.charge != 0.0)
            fail("`charge " + bnnp::number(options.charge) +
                 "` needs a potential with charges, and this has none");
        return;
    }
    force->pair->no_virial_fdotr_compute = 1;  // charges act farther than ghost atoms reach
    const int axes = domain->xperiodic + domain->yperiodic + domain->zperiodic;
    if (axes == 1)
        fail(
            "charges need a `boundary` that is periodic along three vectors, two (a slab) or none: "
            "use a box with vacuum that is periodic along all three");
    if (axes == 2 && options.charge != 0.0)
        fail("`charge " + bnnp::number(options.charge) +
             "`: a charged slab has no finite energy. Make the box periodic along all three vectors, where a "
             "background neutralizes it");
    if (!atom->q_flag || charges_set) return;
    double sum = 0.0;
    for (int i = 0; i < atom->nlocal; ++i)
        if (map[atom->type[i]] >= 0) sum += atom->q[i];
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, world);
    if (!(std::abs(sum - options.charge) <= CHARGE_TOLERANCE))
        fail("the charges of the atoms add up to " + bnnp::number(sum, 4) +
             ", but the potential gives them new ones for the total charge " +
             bnnp::number(options.charge, 4) + ". Write `pair_style bnnp charge " + bnnp::number(sum, 4) +
             "` if that is meant, or `set group all charge 0`");
}

double PairBNNP::init_one(int i, int j) {
    if (setflag[i][j] == 0) fail("not all pairs of atom types have coefficients; use `pair_coeff * *`");
    return evaluator->radius() * length_unit;
}

// ---- a step -----------------------------------------------------------------------------------------------

void PairBNNP::compute(int eflag, int vflag) {
    if (open && step != update->ntimestep) complete_step();  // that of a minimizer: no fix sees it end
    ev_init(eflag, vflag);
    step = update->ntimestep;
    open = step != completed;
    trouble.clear();
    lines.clear();
    exclusions.look(map);
    const bool several = potential->samples > 1;
    look = step % options.every == 0;
    const bool forces = several && (forces_std_flag || (options.max_force > 0.0 && look));
    if (!several && (forces_std_flag || energies_std_flag))
        fail(
            "this potential has no masks (or mc_samples below 2), so it gives no forces_std and no "
            "energies_std to fix pair");
    if (!charged && (charges_flag || charges_std_flag))
        fail("this potential has no charges, so it gives none to fix pair");
    if (charges_std_flag && !(several && potential->electrostatics.by_networks()))
        fail("the charges of this potential have no samples, so it gives no charges_std to fix pair");
    if (charged && (vflag_atom || cvflag_atom))
        fail(
            "there are no virials of the atoms (compute stress/atom, centroid/stress/atom, heat/flux) with a "
            "potential that has charges");
    const int n_all = atom->nlocal + atom->nghost;
    if (atom->nmax > n_max) make_room();
    else if (forces_std_flag || forces) std::fill(forces_std[0], forces_std[0] + 3 * std::size_t(n_max), 0.0);
    if (energies_std_flag) std::fill(energies_std, energies_std + n_max, 0.0);
    if (charges_flag) std::fill(charges, charges + n_max, 0.0);
    if (charges_std_flag) std::fill(charges_std, charges_std + n_max, 0.0);
    const bool energies = several && (look || eflag_global || charges_std_flag);
    const bool parts = calibration.hybrid() && (energies || forces);
    const std::size_t rows = std::size_t(n_all) * 3;
    if (forces) sample_forces.assign(rows * evaluator->sample_row(), 0.0);
    if (forces && parts) last_layer_forces.assign(rows * evaluator->last_layer_row(), 0.0);
    if (parts) {
        around.assign(2 * std::size_t(n_all), 0.0);
        distances.assign(atom->nlocal, 0.0), closenesses.assign(atom->nlocal, 0.0);
        beyond.assign(atom->nlocal, 0.0), unseen.assign(atom->nlocal, false);
    }
    sums.assign(first_mean() + (parts ? potential->elements.size() * (1 + evaluator->width()) : 0), 0.0);
    extrapolations = 0.0;

    const bool possible = !charged || find_charges(energies, forces);
    std::int64_t done = 0;
    for (int begin = 0; possible && begin < list->inum; begin += BLOCK) {
        gather(begin, std::min(begin + BLOCK, list->inum));
        const bnnp::SampleRows rows{centers.data(), neighbors.data(), forces ? sample_forces.data() : nullptr,
                                    forces && parts ? last_layer_forces.data() : nullptr};
        if (charged) charged->evaluate_block(*evaluator, own, done, rows, parts);
        else evaluator->evaluate(rows, parts);
        done += evaluator->n_centers();
        scatter(parts);
    }
    if (vflag_fdotr) virial_fdotr_compute();
    if (charged && possible) add_charges(forces);
    if (parts) compute_distances();
    if (forces) compute_forces_std();
    if (eflag_global && !trouble.empty()) eng_vdwl += FORBIDDEN;
    reduce(energies, forces);
}

// The last energy that was computed is that of the state of the step, the others were trials.
void PairBNNP::complete_step() {
    if (!open) return;
    open = false;
    completed = step;
    if (!trouble.empty())
        error->one(FLERR, "pair_style bnnp: at step " + std::to_string(step) + " " + trouble);
    for (const std::string& line : lines) std::fputs(line.c_str(), stderr);
    extrapolations_before = extrapolations_run;
    warn_once();
    summarize();
    obey_stop_rule();
}

bool PairBNNP::present(int i) const { return map[atom->type[i]] >= 0 && !exclusions.out(i); }

void PairBNNP::object(const std::string& message) {
    if (trouble.empty()) trouble = message;
}

// Centers begin ... end of the neighbor list with all their neighbors within the cutoff.
void PairBNNP::gather(int begin, int end) {
    double** x = atom->x;
    const int* type = atom->type;
    const double reach = evaluator->radius() * evaluator->radius();
    const double nearest = potential->bond_threshold * potential->bond_threshold;
    const double scale = 1.0 / length_unit;
    centers.clear();
    neighbors.clear();
    evaluator->clear();
    for (int ii = begin; ii < end; ++ii) {
        const int i = list->ilist[ii];
        if (!present(i)) continue;
        centers.push_back(i);
        evaluator->add_center(map[type[i]]);
        const int* neighborhood = list->firstneigh[i];
        for (int jj = 0; jj < list->numneigh[i]; ++jj) {
            const int j = neighborhood[jj] & NEIGHMASK;
            if (map[type[j]] < 0) continue;
            const double dx = (x[j][0] - x[i][0]) * scale;
            const double dy = (x[j][1] - x[i][1]) * scale;
            const double dz = (x[j][2] - x[i][2]) * scale;
            const double square = dx * dx + dy * dy + dz * dz;
            if (square >= reach) continue;
            if (square < nearest) {
                object("atoms " + std::to_string(atom->tag[i]) + " and " + std::to_string(atom->tag[j]) +
                       " are " + bnnp::number(std::sqrt(square) * length_unit) +
                       " Angstrom apart, less than bond_threshold " +
                       bnnp::number(potential->bond_threshold * length_unit) +
                       ". Check positions, units and time step");
                continue;
            }
            neighbors.push_back(j);
            evaluator->add_neighbor(map[type[j]], dx, dy, dz);
        }
    }
}

// Charges and what depends on them, of the atoms of this rank; false on all ranks if there are none.
bool PairBNNP::find_charges(bool energies, bool forces) {
    charged_atoms.clear();
    own = bnnp::OwnAtoms();
    for (int begin = 0; begin < list->inum; begin += BLOCK) {
        gather(begin, std::min(begin + BLOCK, list->inum));
        charged_atoms.insert(charged_atoms.end(), centers.begin(), centers.end());
        if (potential->electrostatics.by_networks()) evaluator->find_functions();
        own.add(*evaluator, potential->electrostatics.by_networks());
    }
    const bnnp::ChargedAtoms all = all_charged_atoms();
    std::string reason;
    try {
        reason = charged->evaluate(own, all, options.charge, energies, forces);
    } catch (const bnnp::FileError& mistake) {
        reason = mistake.what();
    }
    if (!reason.empty() && comm->me == 0) object(reason);
    return reason.empty();
}

// Those of all ranks, sorted by their IDs, and where this rank's are among them.
bnnp::ChargedAtoms PairBNNP::all_charged_atoms() {
    const int each = 5;
    std::vector<double> mine, numbers;
    for (const int i : charged_atoms)
        mine.insert(mine.end(), {double(atom->tag[i]), double(map[atom->type[i]]), atom->x[i][0],
                                 atom->x[i][1], atom->x[i][2]});
    std::vector<int> counts(comm->nprocs), starts(comm->nprocs + 1, 0);
    const int count = int(mine.size());
    MPI_Allgather(&count, 1, MPI_INT, counts.data(), 1, MPI_INT, world);
    for (int rank = 0; rank < comm->nprocs; ++rank) starts[rank + 1] = starts[rank] + counts[rank];
    numbers.resize(starts.back());
    MPI_Allgatherv(mine.data(), count, MPI_DOUBLE, numbers.data(), counts.data(), starts.data(), MPI_DOUBLE,
                   world);
    std::vector<std::size_t> order(numbers.size() / each);
    for (std::size_t k = 0; k < order.size(); ++k) order[k] = k * each;
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return numbers[a] < numbers[b]; });
    bnnp::ChargedAtoms all;
    for (const std::size_t k : order) {
        all.tags.push_back(std::int64_t(numbers[k]));
        all.elements.push_back(int(numbers[k + 1]));
        for (int c = 0; c < 3; ++c) all.positions.push_back(numbers[k + 2 + c] / length_unit);
    }
    for (const int i : charged_atoms)
        own.places.push_back(std::lower_bound(all.tags.begin(), all.tags.end(), std::int64_t(atom->tag[i])) -
                             all.tags.begin());
    const double* h = domain->h;  // xx yy zz yz xz xy
    all.cell = {{{h[0], 0.0, 0.0}, {h[5], h[1], 0.0}, {h[4], h[3], h[2]}}};
    for (auto& vector : all.cell)
        for (double& c : vector) c /= length_unit;
    all.periodic = {domain->xperiodic != 0, domain->yperiodic != 0, domain->zperiodic != 0};
    return all;
}

// Forces and virial of the electrostatic interaction, and the charges, where they are asked for.
void PairBNNP::add_charges(bool forces) {
    const int samples = potential->samples;
    const std::size_t row = evaluator->sample_row();
    for (std::size_t k = 0; k < charged_atoms.size(); ++k) {
        const int i = charged_atoms[k];
        for (int c = 0; c < 3; ++c) {
            atom->f[i][c] += charged->forces[3 * k + c] * force_unit;
            if (!forces || charged->sample_forces.empty()) continue;
            const double* of_samples = &charged->sample_forces[(3 * k + c) * samples];
            double* target = &sample_forces[(3 * std::size_t(i) + c) * row];
            for (int s = 0; s < samples; ++s) target[s] += of_samples[s];
        }
        const double* of_samples = &charged->charges[k * samples];
        double mean = 0.0;
        for (int s = 0; s < samples; ++s) mean += of_samples[s] / samples;
        if (atom->q_flag) atom->q[i] = mean;
        if (charges_flag) charges[i] = mean;
        if (charges_std_flag) charges_std[i] = deviation(of_samples, samples);
    }
    charges_set = charges_set || atom->q_flag;
    for (int v = 0; vflag_global && v < 6; ++v) virial[v] -= charged->virial[v] * energy_unit;
}

void PairBNNP::scatter(bool parts) {
    for (int c = 0; c < evaluator->n_centers(); ++c) {
        add_center(c);
        if (parts) add_parts(c);
        for (std::int64_t p = evaluator->first(c); p < evaluator->first(c + 1); ++p)
            add_pair(centers[c], neighbors[p], evaluator->vector(p), evaluator->derivative(p));
    }
}

void PairBNNP::add_center(int center) {
    const int samples = potential->samples, i = centers[center];
    const double* energies = evaluator->energies(center);
    double mean = 0.0;
    for (int s = 0; s < samples; ++s) {
        mean += energies[s];
        sums[SAMPLES + s] += energies[s];
    }
    const double free = potential->elements[map[atom->type[i]]].atom_energy;
    sums[FREE] += free;
    mean = (mean / samples + free) * energy_unit;
    if (!std::isfinite(mean))
        object("the energy of atom " + std::to_string(atom->tag[i]) +
               " is not finite. Its environment is far outside the training set: check positions and time "
               "step");
    else if (eflag_global) eng_vdwl += mean;
    if (eflag_atom) eatom[i] += mean;
    if (energies_std_flag) energies_std[i] = deviation(energies, samples) * energy_unit;
    sums[ATOMS] += 1.0;
    evaluator->outside(center, [&](int function, double value) {
        sums[EXTRAPOLATIONS] += 1.0;
        if (options.show) lines.push_back(extrapolation_line(i, function, value));
    });
}

void PairBNNP::add_parts(int center) {
    const double square = evaluator->distance_square(center), closeness = evaluator->closeness(center);
    const double* last_layer = evaluator->last_layer(center);
    const int i = centers[center], width = evaluator->width();
    closenesses[i] = closeness;
    unseen[i] = evaluator->is_unseen(center);
    sums[CLOSENESS] += closeness * closeness;
    double* total = &sums[SAMPLES + potential->samples];
    for (int k = 0; k < evaluator->n_last_layer(); ++k) total[k] += last_layer[k];
    double* of_element = &sums[first_mean() + evaluator->element(center) * std::size_t(1 + width)];
    of_element[0] += 1.0;
    for (int f = 0; f < width; ++f) of_element[1 + f] += evaluator->functions(center)[f];
    around[2 * std::size_t(i)] += square, around[2 * std::size_t(i) + 1] += 1.0;
    for (std::int64_t p = evaluator->first(center); p < evaluator->first(center + 1); ++p) {
        const double r = length_of(evaluator->vector(p), 3);
        const double fade = 0.5 * (std::cos(PI * r / evaluator->radius()) + 1.0);
        around[2 * std::size_t(neighbors[p])] += fade * fade * square;
        around[2 * std::size_t(neighbors[p]) + 1] += fade * fade;
    }
}

// Numbers of `sums` before those of the means of the symmetry functions: for each element the number of its
// atoms, and their sums.
std::size_t PairBNNP::first_mean() const { return SAMPLES + potential->samples + evaluator->n_last_layer(); }

// Force and virial of the pair i -> j with dE_i/dD, D = r_j - r_i. The virial -D (x) dE_i/dD is shared by
// both atoms in vatom. In cvatom it belongs to j alone, as the heat flux of a many-body potential needs it:
// J = sum_j W_j v_j, Z. Fan et al., Phys. Rev. B 92, 094301 (2015), eq. 25.
void PairBNNP::add_pair(int i, int j, const double* vector, const double* derivative) {
    double** f = atom->f;
    double g[3], w[9];
    for (int c = 0; c < 3; ++c) {
        g[c] = derivative[c] * force_unit;
        f[i][c] += g[c];
        f[j][c] -= g[c];
    }
    if (!vflag_either || (vflag_fdotr && !vflag_atom && !cvflag_atom)) return;
    static const int row[9] = {0, 1, 2, 0, 0, 1, 1, 2, 2};  // xx yy zz xy xz yz yx zx zy
    static const int column[9] = {0, 1, 2, 1, 2, 2, 0, 0, 1};
    for (int k = 0; k < 9; ++k) w[k] = -vector[row[k]] * length_unit * g[column[k]];
    for (int k = 0; k < 6; ++k) {
        if (vflag_global && !vflag_fdotr) virial[k] += w[k];
        if (vflag_atom) vatom[i][k] += 0.5 * w[k], vatom[j][k] += 0.5 * w[k];
    }
    if (cvflag_atom)
        for (int k = 0; k < 9; ++k) cvatom[j][k] += w[k];
}

// ---- uncertainty ------------------------------------------------------------------------------------------

void PairBNNP::compute_distances() {
    send_home(around, 2);
    for (int i = 0; i < atom->nlocal; ++i) {
        if (!present(i)) continue;
        distances[i] = std::sqrt(around[2 * std::size_t(i)] / around[2 * std::size_t(i) + 1]);
        beyond[i] = calibration.far(distances[i], unseen[i]);
        sums[BEYOND] += beyond[i];
    }
}

void PairBNNP::compute_forces_std() {
    const int samples = potential->samples, n_last_layer = evaluator->n_last_layer();
    const std::size_t row = evaluator->sample_row(), last_row = evaluator->last_layer_row();
    const bool hybrid = calibration.hybrid();
    send_home(sample_forces, 3 * evaluator->sample_row());
    if (hybrid) send_home(last_layer_forces, 3 * evaluator->last_layer_row());
    forces_std_max = 0.0;
    for (int i = 0; i < atom->nlocal; ++i) {
        if (!present(i)) continue;
        double variance = 0.0, raw[3];
        const int element = map[atom->type[i]];
        for (int c = 0; c < 3; ++c)
            raw[c] = deviation(&sample_forces[(3 * std::size_t(i) + c) * row], samples);
        const double spread = std::sqrt((raw[0] * raw[0] + raw[1] * raw[1] + raw[2] * raw[2]) / 3.0);
        for (int c = 0; c < 3; ++c) {
            const std::size_t component = 3 * std::size_t(i) + c;
            bnnp::SigmaParts parts{raw[c]};
            if (hybrid)
                parts = {raw[c], length_of(&last_layer_forces[component * last_row], n_last_layer),
                         distances[i], closenesses[i], spread};
            const double far = hybrid ? beyond[i] : 0.0;
            const double sigma =
                calibration.forces.empty() ? parts[0] : calibration.forces[element](parts, far);
            forces_std[i][c] = sigma * force_unit;
            variance += forces_std[i][c] * forces_std[i][c];
        }
        forces_std_max = std::max(forces_std_max, std::sqrt(variance));
    }
}

// Adds what ghost atoms have to the atoms they are images of, some components at a time.
void PairBNNP::send_home(std::vector<double>& values, int each) {
    sent = &values, width = each;
    for (first_component = 0; first_component < width; first_component += MESSAGE) {
        n_components = std::min(MESSAGE, width - first_component);
        comm->reverse_comm(this, n_components);
    }
}

// The components on an atom that are being sent.
double* PairBNNP::message_of(int i) { return &(*sent)[std::size_t(i) * width + first_component]; }

int PairBNNP::pack_reverse_comm(int n, int first, double* buffer) {
    const double* start = buffer;
    for (int i = first; i < first + n; ++i) {
        const double* source = message_of(i);
        buffer = std::copy(source, source + n_components, buffer);
    }
    return int(buffer - start);
}

void PairBNNP::unpack_reverse_comm(int n, int* atoms, double* buffer) {
    for (int m = 0; m < n; ++m) {
        double* target = message_of(atoms[m]);
        for (int k = 0; k < n_components; ++k) target[k] += *buffer++;
    }
}

// Sigmas and extrapolations of all ranks together. The sigma of the energy is that of the totals of each
// sample; per atom it is calibrated.
void PairBNNP::reduce(bool energies, bool forces) {
    if (energies || options.max_extrapolations >= 0 || options.summary > 0)
        MPI_Allreduce(MPI_IN_PLACE, sums.data(), energies ? int(sums.size()) : 1, MPI_DOUBLE, MPI_SUM, world);
    extrapolations = sums[EXTRAPOLATIONS];
    extrapolations_run = extrapolations_before + (open ? extrapolations : 0.0);
    if (energies) {
        const double far = sums[BEYOND] / std::max(1.0, sums[ATOMS]);
        energy_std_per_atom = calibration.energy(parts_of_energy(), far) * energy_unit;
        energy_std = energy_std_per_atom * sums[ATOMS];
    }
    if (forces) MPI_Allreduce(MPI_IN_PLACE, &forces_std_max, 1, MPI_DOUBLE, MPI_MAX, world);
    if (comm->me > 0) return;  // compute pair adds up the vectors of all ranks
    const double values[NUMBERS] = {energy_std, energy_std_per_atom, forces_std_max, extrapolations,
                                    extrapolations_run};
    std::copy(values, values + NUMBERS, pvector);
    for (int s = 0; energies && s < nextra - NUMBERS; ++s)
        pvector[NUMBERS + s] = (sums[FREE] + sums[SAMPLES + s]) * energy_unit;
}

// Of the energy per atom.
bnnp::SigmaParts PairBNNP::parts_of_energy() const {
    const double atoms = std::max(1.0, sums[ATOMS]);
    const double* energies = &sums[SAMPLES];
    const double raw = deviation(energies, potential->samples) / atoms;
    if (!calibration.hybrid()) return {raw};
    double square = sums[CLOSENESS] / atoms;  // D^2
    std::vector<double> mean(evaluator->width());
    for (std::size_t x = 0; x < potential->elements.size(); ++x) {
        const double* of_element = &sums[first_mean() + x * (1 + mean.size())];
        if (of_element[0] == 0.0) continue;
        for (std::size_t f = 0; f < mean.size(); ++f) mean[f] = of_element[1 + f] / of_element[0];
        square += of_element[0] / atoms * evaluator->structure_square(int(x), mean.data());
    }
    return {raw, length_of(energies + potential->samples, evaluator->n_last_layer()) / atoms,
            std::sqrt(square), std::sqrt(sums[CLOSENESS] / atoms), raw};
}

std::string PairBNNP::extrapolation_line(int i, int function, double value) const {
    const bnnp::Element& element = potential->elements[map[atom->type[i]]];
    char line[256];
    std::snprintf(line, sizeof line,
                  "### NNP EXTRAPOLATION WARNING ### STRUCTURE: %6d ATOM: %9lld ELEMENT: %2s SYMFUNC: %4d "
                  "TYPE: %2d VALUE: %10.3E MIN: %10.3E MAX: %10.3E\n",
                  comm->me, (long long)(atom->tag[i]), element.symbol.c_str(), function + 1,
                  element.functions[function].spec.type, value, element.ranges.minimum[function],
                  element.ranges.maximum[function]);
    return line;
}

void PairBNNP::warn_once() {
    if (warned || options.summary == 0 || extrapolations == 0.0) return;
    warned = true;
    if (comm->me == 0)
        error->warning(FLERR, "bnnp extrapolates: at step " + std::to_string(step) + " " +
                                  bnnp::number(extrapolations) +
                                  " symmetry functions are outside of their training range. Further ones are "
                                  "only counted (compute pair bnnp, showewsum)");
}

void PairBNNP::summarize() {
    if (options.summary == 0 || step % options.summary != 0 || step == last_summary) return;
    const double found = extrapolations_run - extrapolations_shown;
    if (found > 0.0) {
        const double steps = double(step - last_summary);
        say("### NNP EW SUMMARY ### TS: " + std::to_string(step) + " EW " + bnnp::number(found) +
            " EWPERSTEP " + bnnp::number(found / steps) + "\n");
    }
    extrapolations_shown = extrapolations_run;
    last_summary = step;
}

void PairBNNP::obey_stop_rule() {
    const Look found{energy_std_per_atom, forces_std_max, extrapolations_run, bool(calibration.energy),
                     !calibration.forces.empty()};
    const std::string reason = stop_rule.judge(options, found, look);
    if (reason.empty()) return;
    const std::string message = "bnnp at step " + std::to_string(step) + ": " + reason;
    if (options.action == Action::error) error->all(FLERR, message);
    if (options.action == Action::warn) {
        if (comm->me == 0) error->warning(FLERR, message);
        return;
    }
    if (timer->is_timeout()) return;  // said before; `rerun` reads on
    say(message + ". The run ends here, and all further ones; other commands are carried out\n");
    timer->force_timeout();
}

// ---- for others -------------------------------------------------------------------------------------------

void* PairBNNP::extract(const char* name, int& dimension) {
    dimension = 0;
    const std::pair<const char*, void*> scalars[] = {{"energy_std", &energy_std},
                                                     {"energy_std_per_atom", &energy_std_per_atom},
                                                     {"forces_std_max", &forces_std_max},
                                                     {"extrapolations", &extrapolations},
                                                     {"extrapolations_run", &extrapolations_run},
                                                     {"forces_std_flag", &forces_std_flag},
                                                     {"energies_std_flag", &energies_std_flag},
                                                     {"charges_flag", &charges_flag},
                                                     {"charges_std_flag", &charges_std_flag}};
    for (const auto& [known, pointer] : scalars)
        if (!std::strcmp(name, known)) return pointer;
    return nullptr;
}

// For all atoms, with zeros.
void PairBNNP::make_room() {
    n_max = std::max(1, atom->nmax);
    memory->destroy(forces_std);
    memory->create(forces_std, n_max, 3, "pair:forces_std");
    std::fill(forces_std[0], forces_std[0] + 3 * std::size_t(n_max), 0.0);
    for (double** each : {&energies_std, &charges, &charges_std}) {
        memory->destroy(*each);
        memory->create(*each, n_max, "pair:per_atom");
        std::fill(*each, *each + n_max, 0.0);
    }
}

void* PairBNNP::extract_peratom(const char* name, int& columns) {
    if (n_max == 0) make_room();  // fix pair asks before the first step
    columns = std::strcmp(name, "forces_std") ? 0 : 3;
    if (columns == 3) return forces_std;
    if (!std::strcmp(name, "charges")) return charges;
    if (!std::strcmp(name, "charges_std")) return charges_std;
    return std::strcmp(name, "energies_std") ? nullptr : energies_std;
}

double PairBNNP::memory_usage() {
    const std::size_t forces = sample_forces.capacity() + last_layer_forces.capacity();
    return Pair::memory_usage() + double(forces + 6 * std::size_t(n_max)) * sizeof(double);
}

// For plugin.cpp.
extern "C" __attribute__((visibility("default"))) void* create_pair_bnnp(void* lmp) {
    return new PairBNNP(static_cast<LAMMPS*>(lmp));
}

// pair_style bnnp: a bnnp potential in LAMMPS, with the standard deviations of its energy and forces.
//
//     pair_style bnnp keyword value ...
//     pair_coeff * * DIRECTORY El1 El2 ...        an element, or NULL, for each atom type
//
//     raw                 standard deviations of the samples, whether the potential is calibrated or not
//     samples             the energy of every sample, too, in the vector of compute pair
//     charge Q            total charge of all atoms in e, of a potential with charges (default 0)
//     maxsigma V          stop when the sigma of the energy per atom exceeds V (LAMMPS' energy unit)
//     maxsigma_force V    stop when the force sigma of any atom, sqrt(sum of the three variances), exceeds V
//     maxew N             stop when more than N symmetry functions have left their training range in this run
//     every N             look at the sigmas every N steps (default 1)
//     patience N          stop only after N such looks in a row (default 1)
//     action stop|error|warn   stop: end this and all further runs, the script goes on (default)
//     showew yes|no       a line for each extrapolation (default no)
//     showewsum N         a warning at the first, and their number every N steps (default 1000; 0: never)
//
// compute ID all pair bnnp gives as a vector: 1 sigma of the energy, 2 the same per atom, 3 largest force
// sigma, 4 extrapolations in this step, 5 in this run; with `samples` from 6 on the energy of each sample.
// fix ID all pair N bnnp forces_std 1 energies_std 1 gives them per atom, and charges 1 charges_std 1 those
// of a potential with charges, which are also the charges of the atoms where the atom style has some. Sigmas
// of energy and forces are calibrated, of kind mc or hybrid, if uncertainty.data has a calibration, else raw:
// sample standard deviations (S - 1) over the frozen masks. Those of atomic energies and charges are always
// raw.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "charged.hpp"
#include "evaluator.hpp"
#include "exclusions.hpp"
#include "options.hpp"
#include "pair.h"

namespace LAMMPS_NS {

class PairBNNP : public Pair {
  public:
    explicit PairBNNP(LAMMPS*);
    ~PairBNNP() override;

    void settings(int, char**) override;
    void coeff(int, char**) override;
    void init_style() override;
    double init_one(int, int) override;
    void compute(int, int) override;

    void* extract(const char*, int&) override;
    void* extract_peratom(const char*, int&) override;
    int pack_reverse_comm(int, int, double*) override;
    void unpack_reverse_comm(int, int*, double*) override;
    double memory_usage() override;

  private:
    Options options;
    StopRule stop_rule;
    Exclusions exclusions;
    const std::string fix_id;  // of FixBNNP

    std::unique_ptr<bnnp::PotentialData> potential;
    std::unique_ptr<bnnp::Evaluator> evaluator;
    std::unique_ptr<bnnp::Charged> charged;  // of a potential with charges
    bnnp::Calibration calibration;           // in force; without `forces` these are raw
    double energy_unit = 1.0, length_unit = 1.0,
           force_unit = 1.0;  // one unit of the potential in LAMMPS' units

    // One block: local index of each center and of each pair's neighbor.
    std::vector<int> centers, neighbors;
    // Sums over the atoms of this rank, then of all: their number of extrapolations, number, x_r^2, w^2,
    // free-atom energies, the energies of the samples, those of the directions of the last layer, and of each
    // element the number of its atoms and their symmetry functions.
    enum { EXTRAPOLATIONS, ATOMS, CLOSENESS, BEYOND, FREE, SAMPLES };
    std::vector<double> sums;
    // Atoms of this rank with charges: their local indices, and what is known of them.
    std::vector<int> charged_atoms;
    bnnp::OwnAtoms own;
    // (nall, 3, row) forces of every sample, and of every direction of the last layer
    std::vector<double> sample_forces, last_layer_forces;
    // Of a hybrid calibration: (nall, 2) sums of f^2 d^2 and of f^2 over an atom and its neighbors; (nlocal,)
    // a and x_r, whether it is unseen, and w^2.
    std::vector<double> around, distances, closenesses, beyond;
    std::vector<bool> unseen;
    // What is being sent: some components of one of these, of `width` for an atom.
    std::vector<double>* sent = nullptr;
    int width = 0, first_component = 0, n_components = 0;

    double **forces_std = nullptr, *energies_std = nullptr, *charges = nullptr, *charges_std = nullptr;
    int n_max = 0;                                   // rows of the four
    int forces_std_flag = 0, energies_std_flag = 0;  // set by fix pair, as those below
    int charges_flag = 0, charges_std_flag = 0;
    bool charges_set = false;  // those of the atoms are of this potential
    double energy_std = 0.0, energy_std_per_atom = 0.0, forces_std_max = 0.0;
    double extrapolations = 0.0, extrapolations_run = 0.0, extrapolations_shown = 0.0;
    double extrapolations_before = 0.0;  // in the complete steps of this run
    bool warned = false;                 // of extrapolations
    bigint last_summary = 0;

    // What was computed last.
    bigint step = 0, completed = -1;  // its step; the last one that is complete
    bool open = false, look = false;  // its step may have others; the sigmas count in its step
    std::string trouble;              // why it has no energy, as far as this rank knows
    std::vector<std::string> lines;   // of its extrapolations

    void allocate();
    void choose_calibration();
    void set_vector();
    void say(const std::string& message) const;
    void fail(const std::string& message) const;  // on all ranks
    void watch_steps();
    void complete_step();
    void object(const std::string& message);
    void set_units();
    bool present(int i) const;
    void check_charges();
    bool find_charges(bool energies, bool forces);
    bnnp::ChargedAtoms all_charged_atoms();
    void add_charges(bool forces);
    void make_room();
    void gather(int begin, int end);
    void scatter(bool parts);
    void add_center(int center);
    void add_parts(int center);
    void add_pair(int i, int j, const double* vector, const double* derivative);
    std::string extrapolation_line(int i, int function, double value) const;
    void send_home(std::vector<double>& values, int each);
    void reduce(bool energies, bool forces);
    double* message_of(int i);
    void compute_distances();
    void compute_forces_std();
    std::size_t first_mean() const;
    bnnp::SigmaParts parts_of_energy() const;
    void warn_once();
    void summarize();
    void obey_stop_rule();
};

}  // namespace LAMMPS_NS

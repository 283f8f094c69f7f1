// The keywords of pair_style bnnp, and the stop rule they make.
#pragma once

#include <string>

#include "lmptype.h"

namespace LAMMPS_NS {

class LAMMPS;

enum class Action { stop, error, warn };

struct Options {
    double max_energy = -1.0, max_force = -1.0;  // negative: no limit
    double charge = 0.0;                         // total charge, e
    bigint max_extrapolations = -1;
    int every = 1, patience = 1, summary = 1000;
    bool show = false, raw = false, samples = false;
    Action action = Action::stop;
};

// From the words after `pair_style bnnp`; LAMMPS' error for what is no keyword or no value of one.
Options read_options(LAMMPS* lmp, int narg, char** arg);

// What is known of a step, in LAMMPS' units.
struct Look {
    double energy_std_per_atom, forces_std_max, extrapolations;  // the last of the run so far
    bool energy_calibrated, forces_calibrated;
};

class StopRule {
  public:
    void begin() { looks_above = 0; }
    // Why a run should not go on, in words; empty if it should. Sigmas count if they were `looked` at in this
    // step.
    std::string judge(const Options& options, const Look& step, bool looked);

  private:
    int looks_above = 0;  // in a row
};

}  // namespace LAMMPS_NS

// Tells pair_style bnnp when a step is complete. Within a step LAMMPS may compute many energies: those of the
// trials of Monte Carlo fixes and line searches, and that of the state in the end.
#pragma once

#include <functional>

#include "fix.h"

namespace LAMMPS_NS {

class FixBNNP : public Fix {
  public:
    FixBNNP(LAMMPS* lmp, int narg, char** arg) : Fix(lmp, narg, arg) { nevery = 1; }

    std::function<void()> complete;

    int setmask() override { return FixConst::END_OF_STEP; }
    void setup(int) override { complete(); }
    void min_setup(int) override { complete(); }
    void end_of_step() override { complete(); }
    void post_run() override { complete(); }  // the last step of a minimizer
};

}  // namespace LAMMPS_NS

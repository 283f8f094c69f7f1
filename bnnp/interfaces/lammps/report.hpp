// What pair_style bnnp says of a potential.
#pragma once

#include <string>

#include "potential/potential.hpp"

namespace bnnp {

// FileError for what only Python runs: an ensemble, masks that change.
void check_runs_here(const PotentialData&);

std::string describe(const PotentialData&);  // elements, networks, cutoff, samples
std::string describe(const Calibration&);    // as in headers of mode 3

}  // namespace bnnp

// Width and cutoffs of the Ewald sum: bnnp/charges/ewald.py, which has the formulas and their references.
#pragma once

#include "potential/electrostatics.hpp"

namespace bnnp {

// FileError if the precision cannot be reached. `widest`: of the charges; lengths of the potential.
Ewald choose_ewald(const EwaldRule& rule, double volume, double n_atoms, double widest,
                   double four_pi_epsilon);

}  // namespace bnnp

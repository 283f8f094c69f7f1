// One bohr in Angstrom and one hartree in eV: CODATA 2014, as ase.units.
#pragma once

namespace bnnp {

constexpr double BOHR = 0.5291772105638411, HARTREE = 27.211386024367243;

}  // namespace bnnp

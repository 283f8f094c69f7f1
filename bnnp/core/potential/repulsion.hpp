// Screened repulsion of two nuclei: the formulas of bnnp/repulsion.py, with the switch of pair_style zbl.
#pragma once

#include <array>

namespace bnnp {

class Repulsion {
  public:
    double inner = 0.0, outer = 0.0;  // length; without repulsion both 0

    explicit operator bool() const { return outer > 0.0; }

    struct Result {
        double energy, slope;  // dE/dr
    };

    // Of atomic numbers at a distance below `outer`; units of the potential in Angstrom and eV.
    Result operator()(int first, int second, double distance, double angstrom, double ev) const;
};

}  // namespace bnnp

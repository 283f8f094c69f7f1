// From the standard deviation of the samples to a calibrated one.
#pragma once

#include <string>
#include <vector>

namespace bnnp {

// A map that never falls. Without numbers it leaves sigma as it is; beyond the largest sigma of its fit it
// goes on in proportion.
struct SigmaMap {
    double factor = 1.0;                  // of sigma, before
    std::vector<double> quadratic;        // s_0, a, b, largest: sqrt(s_0^2 + a sigma^2 + b sigma^4)
    std::vector<double> raw, calibrated;  // or isotonic: straight lines between these knots, constant below

    explicit operator bool() const { return !quadratic.empty() || !raw.empty(); }
    double operator()(double sigma) const;
};

// The calibration of kind mc, in units of the potential; empty maps where there is none.
struct Calibration {
    std::string wanted;               // mc, or hybrid, which only Python computes; empty: nothing is said
    int structures = 0, outside = 0;  // it was made with, in and out of the domain
    SigmaMap energy;                  // per atom of the total
    std::vector<SigmaMap> forces;     // components, of each element
};

}  // namespace bnnp

// From the parts of a raw standard deviation to a calibrated one.
#pragma once

#include <array>
#include <limits>
#include <string>
#include <vector>

namespace bnnp {

// Standard deviation of the samples and, of a hybrid calibration, of the last layer, the distance from the
// training set and the closeness, and the spread of the samples.
using SigmaParts = std::array<double, 5>;
constexpr double FAR = 2.0;     // bnnp.uncertainty.calibration
constexpr double UNSEEN = 0.5;  // bnnp.uncertainty.calibration

// A map that never falls; beyond the largest sigma of its fit it goes on in proportion.
struct SigmaMap {
    std::vector<double> quadratic;        // s_0, a, b, largest: sqrt(s_0^2 + a sigma^2 + b sigma^4)
    std::vector<double> raw, calibrated;  // or isotonic: straight lines between these knots, constant below

    double operator()(double sigma) const;
};

// The calibration of one quantity. Without weights there is none, and the samples' sigma is left as it is.
struct Quantity {
    std::vector<double> weights;  // of the parts: one, or three of a hybrid calibration
    double least = 0.0;           // least factor of the distance
    // error inside, which with the spread of the samples limits sigma
    double inside = std::numeric_limits<double>::infinity();
    SigmaMap map;

    explicit operator bool() const { return !weights.empty(); }
    // `far`: w^2 of the atom, or its mean over the atoms.
    double operator()(const SigmaParts& parts, double far = 0.0) const;
};

// The calibration in use, in units of the potential.
struct Calibration {
    std::string kind;                                        // mc or hybrid; empty without a calibration
    int structures = 0, outside = 0;                         // it was made with, in and out of the domain
    Quantity energy;                                         // per atom of the total
    std::vector<Quantity> forces;                            // components, of each element
    double reach = std::numeric_limits<double>::infinity();  // largest distance of an atom inside

    bool hybrid() const { return kind == "hybrid"; }
    // w^2 of an atom at this distance, in whose surroundings is what was not in the training set at all.
    double far(double distance, bool unseen) const;
};

}  // namespace bnnp

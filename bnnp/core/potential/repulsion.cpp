#include "potential/repulsion.hpp"

#include <cmath>

#include "potential/units.hpp"

namespace bnnp {

namespace {

const double COULOMB = HARTREE * BOHR;  // e^2 / (4 pi epsilon_0), eV Angstrom
const double SCREENING = 0.46850;       // Angstrom
const double AMPLITUDES[] = {0.18175, 0.50986, 0.28022, 0.02817};
const double EXPONENTS[] = {3.19980, 0.94229, 0.40290, 0.20162};

// E, E' and E'' without the switch.
std::array<double, 3> unswitched(double r, double strength, double screening) {
    double phi = 0.0, phi1 = 0.0, phi2 = 0.0;
    for (int k = 0; k < 4; ++k) {
        const double rate = EXPONENTS[k] / screening, term = AMPLITUDES[k] * std::exp(-rate * r);
        phi += term, phi1 -= rate * term, phi2 += rate * rate * term;
    }
    return {strength * phi / r, strength * (phi1 - phi / r) / r,
            strength * (phi2 - 2.0 * phi1 / r + 2.0 * phi / (r * r)) / r};
}

}  // namespace

Repulsion::Result Repulsion::operator()(int first, int second, double distance, double angstrom,
                                        double ev) const {
    const double screening = SCREENING / angstrom / (std::pow(first, 0.23) + std::pow(second, 0.23));
    const double strength = double(first) * second * COULOMB / (ev * angstrom);
    const auto found = unswitched(distance, strength, screening);
    const auto at_end = unswitched(outer, strength, screening);
    const double width = outer - inner;
    const double e = at_end[0], e1 = at_end[1] * width, e2 = at_end[2] * width * width;
    const double a = e2 - 3.0 * e1, b = 2.0 * e1 - e2, c = e1 / 2.0 - e - e2 / 12.0;
    const double x = std::fmax(distance - inner, 0.0) / width;
    return {found[0] + (a / 3.0 + b / 4.0 * x) * x * x * x + c, found[1] + (a + b * x) * x * x / width};
}

}  // namespace bnnp

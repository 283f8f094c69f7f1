#include "ewald.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "potential/text.hpp"

namespace bnnp {

namespace {

constexpr double PI = 3.14159265358979323846;
constexpr double REAL_OVER_RECIPROCAL = 3.676;
constexpr double MANY = 1000.0, NARROWER = 0.55;

FileError too_coarse() {
    return FileError("ewald_prec: the precision is too coarse for these atoms: give a smaller one");
}

// The s with exp(-s^2) / sqrt(s) = y.
double reach(double y) {
    double s = 1.0;
    for (int n = 0; n < 200; ++n) {
        const double step = (std::log(y) + s * s + 0.5 * std::log(s)) / (2.0 * s + 0.5 / s), former = s;
        s = step < s ? s - step : 0.5 * s;
        if (std::abs(s - former) <= 1e-15 * s) break;
    }
    if (s * s < 1.0 || std::exp(-s * s) > 0.1) throw too_coarse();
    return s;
}

Ewald of_cutoff(const EwaldRule& rule, double strength, double pair) {
    const double ratio = std::sqrt(rule.r_cut / 2.0) * rule.precision / strength;
    if (ratio >= 1.0) throw too_coarse();
    const double eta = rule.r_cut / std::sqrt(-2.0 * std::log(ratio));
    if (pair > eta)
        throw FileError("ewald_prec: the cutoff " + number(rule.r_cut) + " is too short for the precision " +
                        number(rule.precision) + " with charges as wide as " + number(pair / std::sqrt(2.0)) +
                        " (fixed_gausswidth): give at least " +
                        number(pair * std::sqrt(-2.0 * std::log(ratio)), 4) + ", or leave the cutoff out");
    const double y = eta * rule.precision / (std::sqrt(2.0) * strength);
    const double s = reach(y * std::sqrt(std::sqrt(2.0) / eta));
    return {eta, rule.r_cut, std::sqrt(2.0) / eta * s};
}

}  // namespace

Ewald choose_ewald(const EwaldRule& rule, double volume, double n_atoms, double widest,
                   double four_pi_epsilon) {
    const double pair = std::sqrt(2.0) * widest, part = n_atoms > MANY ? NARROWER : 1.0;
    if (rule.fixed.k_max) {
        Ewald fixed = rule.fixed;
        fixed.k_cut = std::numeric_limits<double>::infinity();
        return fixed;
    }
    if (rule.method == 0) {
        const double eta = part * std::cbrt(volume) / std::sqrt(2.0 * PI);
        const double far = std::sqrt(-2.0 * std::log(rule.precision));
        return {eta, far * std::max(eta, pair), far / eta};
    }
    const double strength =
        rule.largest_charge * rule.largest_charge * std::sqrt(n_atoms / volume) / four_pi_epsilon;
    if (rule.r_cut > 0.0) return of_cutoff(rule, 2.0 * strength, pair);
    const double cube = 2.0 * PI * 2.0 * PI * 2.0 * PI;
    const double scale = part * std::pow(volume * volume / cube / REAL_OVER_RECIPROCAL, 1.0 / 6.0);
    double eta = scale, s = 1.0;
    for (int n = 0; n < 100; ++n) {
        s = reach(rule.precision * std::sqrt(eta / 2.0) / (std::pow(2.0, 0.75) * strength));
        const double former = eta;
        eta = scale * std::pow(1.0 + 0.5 / (s * s), 1.0 / 6.0);
        if (std::abs(eta - former) <= 1e-15 * eta) break;
    }
    eta = std::max(eta, widest);
    return {eta, std::sqrt(2.0) * s * std::max(eta, pair), std::sqrt(2.0) * s / eta};
}

}  // namespace bnnp

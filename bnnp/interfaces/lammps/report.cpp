#include "report.hpp"

#include <algorithm>

namespace bnnp {

void check_runs_here(const PotentialData& potential) {
    if (potential.ensemble_size > 1)
        throw FileError(
            "input.nn line " + std::to_string(potential.ensemble_line) + ": this is an ensemble of " +
            std::to_string(potential.ensemble_size) +
            " networks, and pair_style bnnp runs one; mode 3 and ASE run them all. Without the line "
            "ensemble_size, in a copy of the directory, it is the first network with its own masks");
    if (potential.resample)
        throw FileError(
            "input.nn line " + std::to_string(potential.resample_line) +
            ": `mc_masks resample`: forces that change at random do not conserve energy; use frozen");
}

std::string describe(const PotentialData& potential) {
    Words networks;
    double radius = 0.0;
    for (const Element& element : potential.elements) {
        std::string text = element.symbol + " ";
        for (const LayerSpec& layer : element.layers) text += std::to_string(layer.n_in) + "-";
        networks.push_back(text + "1");
        for (const SymmetryFunction& function : element.functions)
            radius = std::max(radius, function.spec.r_c);
    }
    const std::string samples = potential.samples > 1
                                    ? std::to_string(potential.samples) + " Monte Carlo samples"
                                    : "plain networks, no uncertainty";
    const std::string charges[] = {"", "fixed charges; ", "charges of networks; ",
                                   "charges in equilibrium; "};
    return join(networks, ", ") + "; cutoff " + number(radius * potential.angstrom, 4) + " Angstrom; " +
           charges[int(potential.electrostatics.charges)] + samples;
}

std::string describe(const Calibration& calibration) {
    const bool energy(calibration.energy), forces = !calibration.forces.empty();
    if (!energy && !forces) return "raw (uncalibrated)";
    std::string text =
        "calibrated (" + calibration.kind + ") on " + std::to_string(calibration.structures) + " structures";
    if (calibration.outside) text += " and " + std::to_string(calibration.outside) + " out of the domain";
    if (!energy || !forces) text += std::string("; raw (uncalibrated): ") + (energy ? "forces" : "energy");
    return text;
}

}  // namespace bnnp

#include "options.hpp"

#include "error.h"
#include "lammps.h"
#include "potential/text.hpp"
#include "utils.h"

namespace LAMMPS_NS {

static const char* KEYWORDS =
    "raw, samples, charge, maxsigma, maxsigma_force, maxew, every, patience, action, showew or showewsum";

Options read_options(LAMMPS* lmp, int narg, char** arg) {
    Options options;
    auto fail = [lmp](const std::string& message) { lmp->error->all(FLERR, "pair_style bnnp: " + message); };
    for (int i = 0; i < narg; ++i) {
        const std::string name = arg[i];
        if (name == "raw" || name == "samples") {
            (name == "raw" ? options.raw : options.samples) = true;
            continue;
        }
        if (i + 1 == narg) fail(name + " has no value, or is none of " + KEYWORDS);
        const std::string word = arg[++i];
        auto positive = [&](int least) {
            const int value = utils::inumeric(FLERR, word, false, lmp);
            if (value < least) fail(name + " is " + word + " but must be at least " + std::to_string(least));
            return value;
        };
        auto limit = [&] {
            const double value = utils::numeric(FLERR, word, false, lmp);
            if (!(value > 0.0)) fail(name + " is " + word + " but must be positive");
            return value;
        };
        if (name == "charge") options.charge = utils::numeric(FLERR, word, false, lmp);
        else if (name == "maxsigma") options.max_energy = limit();
        else if (name == "maxsigma_force") options.max_force = limit();
        else if (name == "maxew") options.max_extrapolations = positive(0);
        else if (name == "every") options.every = positive(1);
        else if (name == "patience") options.patience = positive(1);
        else if (name == "showewsum") options.summary = positive(0);
        else if (name == "showew") options.show = utils::logical(FLERR, word, false, lmp) != 0;
        else if (name == "action" && word == "stop") options.action = Action::stop;
        else if (name == "action" && word == "error") options.action = Action::error;
        else if (name == "action" && word == "warn") options.action = Action::warn;
        else if (name == "action") fail("action is " + word + " but must be stop, error or warn");
        else fail(name + " is none of " + KEYWORDS);
    }
    return options;
}

std::string StopRule::judge(const Options& options, const Look& step, bool looked) {
    std::string reason;
    auto above = [&](const char* what, double value, const char* kind, double limit, const char* option) {
        if (!(value <= limit))
            reason += (reason.empty() ? "" : "; ") + std::string(what) + " is " + bnnp::number(value) + kind +
                      ", above " + option + " " + bnnp::number(limit);
    };
    auto kind = [](bool calibrated) { return calibrated ? " (calibrated)" : " (raw)"; };
    if (looked && options.max_energy > 0.0)
        above("sigma of the energy per atom", step.energy_std_per_atom, kind(step.energy_calibrated),
              options.max_energy, "maxsigma");
    if (looked && options.max_force > 0.0)
        above("largest force sigma", step.forces_std_max, kind(step.forces_calibrated), options.max_force,
              "maxsigma_force");
    if (looked) looks_above = reason.empty() ? 0 : looks_above + 1;
    if (looks_above < options.patience) reason.clear();
    if (options.max_extrapolations >= 0)
        above("number of extrapolations", step.extrapolations, "", double(options.max_extrapolations),
              "maxew");
    return reason;
}

}  // namespace LAMMPS_NS

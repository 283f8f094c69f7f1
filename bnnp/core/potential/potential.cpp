#include "potential/potential.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

namespace bnnp {

PotentialData read_potential(const Content& content) {
    Texts files;
    const auto read = [&](const std::string& name, bool needed) -> const std::string* {
        const std::optional<std::string> text = content(name);
        if (!text && needed)
            throw FileError(name + " cannot be read. Is this the directory potential/ that mode 2 wrote?");
        return text ? &(files[name] = *text) : nullptr;
    };
    PotentialData data = read_input_nn(*read("input.nn", true));
    if (const auto text = read("scaling.data", data.scaling != "none")) read_scaling(*text, data);
    for (Element& element : data.elements) {
        read_weights(*read(name_of(element), true), data, element);
        if (data.electrostatics.by_networks())
            read_charge_weights(*read(name_of(element, "weightse"), true), data, element);
        if (data.electrostatics.equilibrated())
            read_hardness(*read(name_of(element, "hardness"), true), element);
    }
    const std::string* uncertainty = read("uncertainty.data", false);
    check_identity(files, data);
    check_ranges(data);
    if (!uncertainty || data.mc_samples == 0) return data;
    read_uncertainty(*uncertainty, data);
    const bool active = std::any_of(data.rates.begin(), data.rates.end(), [](double p) { return p > 0.0; });
    if (active && data.electrostatics.by_networks()) {
        const std::optional<std::string> masks = content("uncertaintye.data");
        if (!masks)
            throw FileError(
                "uncertaintye.data cannot be read, but uncertainty.data has dropout masks, which belong "
                "together. Copy the directory that mode 2 wrote again, as a whole");
        read_charge_masks(*masks, data);
    }
    return data;
}

Content files_of(const std::string& directory) {
    return [directory](const std::string& name) -> std::optional<std::string> {
        std::ifstream file(directory + "/" + name, std::ios::binary);
        std::ostringstream text;
        if (!file || (file.peek() != EOF && !(text << file.rdbuf()))) return std::nullopt;
        return text.str();
    };
}

}  // namespace bnnp

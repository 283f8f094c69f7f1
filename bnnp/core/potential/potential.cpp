#include "potential/potential.hpp"

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
    for (Element& element : data.elements) read_weights(*read(weights_name(element), true), data, element);
    const std::string* uncertainty = read("uncertainty.data", false);
    check_identity(files, data);
    check_ranges(data);
    if (uncertainty && data.mc_samples != 0) read_uncertainty(*uncertainty, data);
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

// The line `# potential` of the files: names of all parts a prediction depends on, each with the first 16
// digits of the sha256 of its text, word for word as bnnp writes it.
#include <map>
#include <sstream>
#include <utility>

#include "potential/potential.hpp"
#include "potential/sha256.hpp"

namespace bnnp {

namespace {

using Parts = std::vector<std::pair<std::string, std::string>>;  // name and text
using Digests = std::map<std::string, std::string>;

const char* WHOLE = ". Copy the directory that mode 2 wrote again, as a whole";

std::string fingerprint(const PotentialData& data) {
    std::string text = data.units;
    for (const Element& element : data.elements) text += "\n" + element.symbol;
    text += "\ncutoff " + std::to_string(data.cutoff_type) + " " + python_repr(data.cutoff_alpha);
    for (const Element& element : data.elements)
        for (const SymmetryFunction& function : element.functions) text += "\n" + function.definition;
    return sha256(text);
}

std::string describe_layers(const Element& element) {
    std::string text = element.symbol + " ", letters;
    for (const LayerSpec& layer : element.layers) {
        text += std::to_string(layer.n_in) + "-";
        letters += (letters.empty() ? "" : " ") + std::string(1, layer.activation);
    }
    return text + "1 (" + letters + ")";
}

Parts parts_of(const PotentialData& data) {
    Words layers, atoms;
    std::vector<double> ranges;
    for (const Element& element : data.elements) {
        layers.push_back(describe_layers(element));
        atoms.push_back(element.symbol + " " + python_repr(element.atom_energy));
        const Ranges& r = element.ranges;
        for (const auto* column : {&r.minimum, &r.maximum, &r.mean, &r.sigma})
            ranges.insert(ranges.end(), column->begin(), column->end());
    }
    std::string scaling = data.scaling;
    if (scaling != "none" && scaling != "center")
        scaling += " " + python_repr(data.s_min) + " " + python_repr(data.s_max);
    const Words normalization{python_repr(data.mean_energy), python_repr(data.conv_energy),
                              python_repr(data.conv_length)};
    Parts parts{{"functions", fingerprint(data)},
                {"scaling", scaling},
                {"layers", join(layers, ", ") + (data.normalize_nodes ? ", normalize_nodes" : "")},
                {"normalization", join(normalization)},
                {"atoms", join(atoms, ", ")}};
    if (data.repulsion)
        parts.push_back(
            {"repulsion", python_repr(data.repulsion.inner) + " " + python_repr(data.repulsion.outer)});
    if (data.electrostatics) {
        Words parts_of_charges{data.electrostatics.text()}, hardness, weights;
        for (const Element& element : data.elements) {
            if (data.electrostatics.equilibrated())
                hardness.push_back(element.symbol + " " + python_repr(element.hardness));
            weights.push_back(element.charges.checksum);
        }
        if (data.electrostatics.by_networks())
            parts_of_charges.insert(parts_of_charges.end(), {join(hardness), join(weights)});
        parts.push_back({"charges", join(parts_of_charges, "; ")});
    }
    if (!ranges.empty()) parts.push_back({"ranges", sha256(ranges)});
    for (const Element& element : data.elements) {
        const std::string name = name_of(element);
        parts.push_back({name.substr(0, name.rfind('.')), element.checksum});
    }
    return parts;
}

// Of the line in the head of a file; empty if it has none.
Digests read_identity(const std::string& text) {
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line) && (line.empty() || line[0] == '#');) {
        std::istringstream words(line.empty() ? line : line.substr(1));
        std::string word;
        if (!(words >> word) || word != "potential") continue;
        Digests digests;
        bool fits = true;
        while (words >> word) {
            const std::size_t colon = word.find(':');
            fits = fits && colon != std::string::npos && word.size() == colon + 17;
            if (fits) digests[word.substr(0, colon)] = word.substr(colon + 1);
        }
        if (fits && !digests.empty()) return digests;
    }
    return {};
}

}  // namespace

void check_identity(const Texts& files, const PotentialData& data) {
    std::string first;
    Digests known;
    for (const auto& [name, text] : files) {
        const Digests digests = read_identity(text);
        if (name == "input.nn" || digests.empty()) continue;
        if (first.empty()) first = name, known = digests;
        if (digests != known)
            throw FileError(first + " and " + name +
                            " belong to different potentials: their lines `# potential` differ" + WHOLE);
    }
    if (first.empty()) return;  // files of RuNNer or n2p2
    Words differing;
    bool ranges = false;
    for (const auto& [name, text] : parts_of(data)) {
        if (known[name] != sha256(text).substr(0, 16)) differing.push_back(name);
        known.erase(name);
        ranges = ranges || name == "ranges";
    }
    if (!differing.empty())
        throw FileError(
            "input.nn and the files beside it do not belong together. Changed since mode 2 wrote "
            "them: " +
            join(differing, ", ") + WHOLE);
    if (!ranges) known.erase("ranges");
    if (!known.empty())
        throw FileError("this potential depends on `" + known.begin()->first +
                        "`, which this version of bnnp does not know: another one wrote it. Use that one");
}

}  // namespace bnnp

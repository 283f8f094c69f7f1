// scaling.data, weights.XXX.data and uncertainty.data.
#include <limits>
#include <sstream>

#include "potential.hpp"

namespace bnnp {

namespace {

std::string place(const std::string& file, int line) { return file + " line " + std::to_string(line); }

const char* BELONGS =
    ". The file is cut short or belongs to another potential: copy the directory that mode 2 wrote again";

}  // namespace

std::vector<Ranges> read_scaling(const std::string& text, const InputNN& input) {
    std::vector<Ranges> all(input.elements.size());
    std::size_t element = 0;
    for (const Line& line : lines_of(text)) {
        const std::string where = place("scaling.data", line.number);
        if (line.words.size() == 2) continue;  // the range of the energy
        if (line.words.size() != 5 && line.words.size() != 6)
            throw FileError(where + ": expected 5 or 6 numbers" + BELONGS);
        while (element < all.size() && int(all[element].minimum.size()) == input.n_functions(int(element)))
            ++element;
        if (element == all.size()) throw FileError(where + ": more functions than input.nn has" + BELONGS);
        Ranges& ranges = all[element];
        if (to_integer(line.words[0], where) != int(element) + 1 ||
            to_integer(line.words[1], where) != int(ranges.minimum.size()) + 1)
            throw FileError(where + ": expected function " + std::to_string(ranges.minimum.size() + 1) +
                            " of " + input.elements[element] + BELONGS);
        ranges.minimum.push_back(to_number(line.words[2], where));
        ranges.maximum.push_back(to_number(line.words[3], where));
        ranges.mean.push_back(to_number(line.words[4], where));
        if (line.words.size() < 6 && input.scaling() == "sigma")
            throw FileError(where + ": no sixth column, which scale_symmetry_functions_sigma needs");
        ranges.sigma.push_back(line.words.size() == 6 ? to_number(line.words[5], where)
                                                      : std::numeric_limits<double>::quiet_NaN());
    }
    for (std::size_t e = 0; e < all.size(); ++e)
        if (int(all[e].minimum.size()) != input.n_functions(int(e)))
            throw FileError("scaling.data: " + std::to_string(all[e].minimum.size()) + " functions of " +
                            input.elements[e] + ", but input.nn has " +
                            std::to_string(input.n_functions(int(e))) + BELONGS);
    return all;
}

std::vector<double> read_weights(const std::string& text, const InputNN& input, int element) {
    const std::string name = weights_name(input.numbers[element]);
    std::vector<double> values;
    for (const Line& line : lines_of(text))
        values.push_back(to_number(line.words[0], place(name, line.number)));
    std::size_t expected = 0, n_in = input.n_functions(element);
    for (int nodes : input.nodes) expected += (n_in + 1) * nodes, n_in = nodes;
    expected += n_in + 1;
    if (values.size() != expected)
        throw FileError(name + ": " + std::to_string(values.size()) +
                        " weights and biases, but the network of " + input.elements[element] +
                        " in input.nn has " + std::to_string(expected) + BELONGS);
    return values;
}

Masks read_masks(const std::string& text, const InputNN& input, const std::vector<std::string>& checksums) {
    const std::string file = "uncertainty.data";
    const std::size_t n_elements = input.elements.size();
    auto element_of = [&](const std::string& symbol) {
        for (std::size_t e = 0; e < n_elements; ++e)
            if (input.elements[e] == symbol) return e;
        throw FileError(file + ": has masks of " + symbol + ", which is not in input.nn");
    };
    Masks masks;
    std::vector<std::vector<int>> found(n_elements);  // mask lines of each layer
    masks.kept.resize(n_elements);
    std::vector<bool> same_weights(n_elements, false);
    std::string section;
    for (const Line& line : lines_of(text)) {
        const std::string where = place(file, line.number);
        const auto& w = line.words;
        const std::string& name = w[0];
        auto demand = [&](bool fits) {
            if (!fits)
                throw FileError(where + ": `" + join(w).substr(0, 60) +
                                "` is not in the format of bnnp, or of another network" + BELONGS);
        };
        if (name[0] == '[') section = join(w);
        else if (section.empty()) demand(w.size() == 2 && name == "format" && w[1] == "1");
        else if (section != "[masks]") continue;  // calibration (read_calibration) and others
        else if (name == "samples" && w.size() == 2) masks.samples = to_integer(w[1], where);
        else if (name == "rates") {
            for (std::size_t n = 1; n < w.size(); ++n) masks.rates.push_back(to_number(w[n], where));
            demand(masks.rates.size() > input.nodes.size());
        } else if (name == "nodes") {
            demand(w.size() == input.nodes.size() + 3);
            const std::size_t e = element_of(w[1]);
            demand(to_integer(w[2], where) == input.n_functions(int(e)));
            for (std::size_t l = 0; l < input.nodes.size(); ++l)
                demand(to_integer(w[l + 3], where) == input.nodes[l]);
            masks.kept[e].resize(input.nodes.size() + 1);
            found[e].resize(input.nodes.size() + 1);
        } else if (name == "weights" && w.size() == 3) {
            const std::size_t e = element_of(w[1]);
            if (w[2] != checksums[e])
                throw FileError(where + ": the masks were made for other weights than those of " +
                                weights_name(input.numbers[e]) + BELONGS);
            same_weights[e] = true;
        } else if (name == "mask") {
            demand(w.size() == 5 && masks.samples > 0);
            const std::size_t e = element_of(w[1]);
            const int layer = to_integer(w[2], where), sample = to_integer(w[3], where);
            demand(layer >= 0 && layer < int(masks.kept[e].size()) && sample >= 1 && sample <= masks.samples);
            const int units = layer == 0 ? input.n_functions(int(e)) : input.nodes[layer - 1];
            demand(int(w[4].size()) == units && w[4].find_first_not_of("01") == std::string::npos);
            auto& kept = masks.kept[e][layer];
            if (kept.empty()) kept.assign(std::size_t(units) * masks.samples, 2);
            demand(kept[sample - 1] == 2);  // each mask once
            for (int u = 0; u < units; ++u)
                kept[std::size_t(u) * masks.samples + sample - 1] = w[4][u] == '1';
            ++found[e][layer];
        }
    }
    for (std::size_t e = 0; e < n_elements; ++e) {
        if (!same_weights[e] || masks.kept[e].empty() || masks.rates.empty())
            throw FileError(file + ": nothing about " + input.elements[e] + BELONGS);
        for (std::size_t l = 0; l < masks.kept[e].size(); ++l)
            if (found[e][l] != (masks.rates[l] > 0.0 ? masks.samples : 0))
                throw FileError(file + ": " + std::to_string(found[e][l]) + " masks in layer " +
                                std::to_string(l) + " of " + input.elements[e] +
                                ", expected one for each of " + std::to_string(masks.samples) + " samples" +
                                BELONGS);
    }
    return masks;
}

}  // namespace bnnp

// scaling.data, weights.XXX.data, weightse.XXX.data and hardness.XXX.data: numbers in columns.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "potential/potential.hpp"
#include "potential/sha256.hpp"

namespace bnnp {

namespace {

constexpr double NONE = std::numeric_limits<double>::quiet_NaN();  // sigma, in RuNNer's five columns
constexpr double ROUNDING = 1e-8;                                  // of RuNNer's nine decimals

// The network of an element with this many inputs.
TrainedNetwork network_of(const std::string& text, const std::string& name, const std::string& symbol,
                          const Layout& layout, int n_in) {
    TrainedNetwork network;
    std::vector<double> values;
    for (const Line& line : lines_of(text))
        values.push_back(to_number(line.words[0], name + " line " + std::to_string(line.number)));
    network.checksum = sha256(values);
    std::size_t at = 0;
    auto take = [&](std::size_t count) {
        const std::size_t begin = std::min(at, values.size()), end = std::min(at + count, values.size());
        at += count;
        return std::vector<double>(values.begin() + begin, values.begin() + end);
    };
    for (std::size_t l = 0; l < layout.activations.size(); ++l) {
        LayerSpec layer;
        layer.n_in = n_in;
        layer.n_out = l < layout.nodes.size() ? layout.nodes[l] : 1;
        layer.activation = layout.activations[l];
        layer.weights = take(std::size_t(layer.n_in) * layer.n_out);
        layer.biases = take(layer.n_out);
        n_in = layer.n_out;
        network.layers.push_back(layer);
    }
    if (at != values.size())
        throw FileError(name + ": " + std::to_string(values.size()) +
                        " weights and biases, but the network of " + symbol + " in input.nn has " +
                        std::to_string(at) + DAMAGED);
    return network;
}

}  // namespace

std::string name_of(const Element& element, const std::string& what) {
    return what + "." + std::to_string(1000 + element.number).substr(1) + ".data";
}

void read_scaling(const std::string& text, PotentialData& data) {
    std::vector<Line> lines;  // without the range of the energy
    for (const Line& line : lines_of(text))
        if (line.words.size() != 2) lines.push_back(line);
    std::size_t at = 0;
    for (std::size_t e = 0; e < data.elements.size(); ++e) {
        Element& element = data.elements[e];
        for (std::size_t f = 0; f < element.functions.size(); ++f, ++at) {
            const std::string expected = "function " + std::to_string(f + 1) + " of " + element.symbol;
            if (at == lines.size()) throw FileError("scaling.data: no " + expected + DAMAGED);
            const Words& words = lines[at].words;
            const std::string where = "scaling.data line " + std::to_string(lines[at].number);
            if (words.size() != 5 && words.size() != 6)
                throw FileError(where + ": expected 5 or 6 numbers" + DAMAGED);
            if (to_integer(words[0], where) != int(e) + 1 || to_integer(words[1], where) != int(f) + 1)
                throw FileError(where + ": expected " + expected + DAMAGED);
            if (words.size() < 6 && data.scaling == "sigma")
                throw FileError(where + ": no sixth column, which scale_symmetry_functions_sigma needs");
            element.ranges.minimum.push_back(to_number(words[2], where));
            element.ranges.maximum.push_back(to_number(words[3], where));
            element.ranges.mean.push_back(to_number(words[4], where));
            element.ranges.sigma.push_back(words.size() < 6 ? NONE : to_number(words[5], where));
        }
    }
    if (at < lines.size())
        throw FileError("scaling.data: more functions than input.nn has" + std::string(DAMAGED));
}

void check_ranges(const PotentialData& data) {
    for (const Element& element : data.elements) {
        const Ranges& r = element.ranges;
        for (std::size_t f = 0; f < r.mean.size(); ++f) {
            const double slack = ROUNDING * std::max({1.0, std::abs(r.minimum[f]), std::abs(r.maximum[f])});
            if (r.mean[f] < r.minimum[f] - slack || r.mean[f] > r.maximum[f] + slack || r.sigma[f] < 0.0)
                throw FileError("scaling.data: function " + std::to_string(f + 1) + " of " + element.symbol +
                                ": minimum, mean and maximum are not in this order, or sigma is negative" +
                                DAMAGED);
        }
    }
}

void read_weights(const std::string& text, const PotentialData& data, Element& element) {
    const int n_in = int(element.functions.size()) + data.electrostatics.equilibrated();
    TrainedNetwork& network = element;
    network = network_of(text, name_of(element), element.symbol, data.layout, n_in);
}

void read_charge_weights(const std::string& text, const PotentialData& data, Element& element) {
    element.charges = network_of(text, name_of(element, "weightse"), element.symbol, data.charge_layout,
                                 int(element.functions.size()));
}

void read_hardness(const std::string& text, Element& element) {
    const std::string name = name_of(element, "hardness");
    const std::vector<Line> lines = lines_of(text);
    if (lines.size() != 1)
        throw FileError(name + ": " + std::to_string(lines.size()) +
                        " lines with a value, expected the hardness of " + element.symbol + ", one number");
    const std::string where = name + " line " + std::to_string(lines[0].number), &word = lines[0].words[0];
    element.hardness = to_number(word, where);
    if (element.hardness <= 0.0)
        throw FileError(where + ": the hardness of " + element.symbol + " is `" + word +
                        "`, expected a positive number: charges would grow without end");
}

}  // namespace bnnp

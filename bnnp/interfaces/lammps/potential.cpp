#include "potential.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace bnnp {

namespace {

const double BOHR = 0.5291772105638411,
             HARTREE = 27.211386024367243;  // Angstrom, eV: CODATA 2014, as bnnp.units
const double ROUNDING = 1e-10;              // bnnp.descriptors.scaling.CONSTANT
const double SHORTEST = 0.5;                // default of bond_threshold, bohr

const std::string& file(const Texts& files, const std::string& name) {
    const auto found = files.find(name);
    if (found == files.end()) throw FileError(name + " is missing");
    return found->second;
}

std::vector<LayerSpec> network(const InputNN& input, int element, const std::vector<double>& values) {
    std::vector<LayerSpec> layers;
    auto at = values.begin();
    int n_in = input.n_functions(element);
    for (std::size_t l = 0; l < input.activations.size(); ++l) {
        LayerSpec layer;
        layer.n_in = n_in;
        layer.n_out = l < input.nodes.size() ? input.nodes[l] : 1;
        layer.activation = input.activations[l];
        layer.weights.assign(at, at + std::ptrdiff_t(layer.n_in) * layer.n_out);
        at += std::ptrdiff_t(layer.n_in) * layer.n_out;
        layer.biases.assign(at, at + layer.n_out);
        at += layer.n_out;
        n_in = layer.n_out;
        layers.push_back(layer);
    }
    return layers;
}

// Factors 0 or 1/(1 - rate) of the first `samples` masks; nothing where no unit of the layer is ever dropped.
void put_masks(std::vector<LayerSpec>& layers, const Masks& masks, std::size_t element, int samples) {
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const auto& kept = masks.kept[element][l];
        if (kept.empty()) continue;
        for (int u = 0; u < layers[l].n_in; ++u)
            for (int s = 0; s < samples; ++s)
                layers[l].masks.push_back(kept[std::size_t(u) * masks.samples + s] / (1.0 - masks.rates[l]));
    }
}

}  // namespace

Potential::Potential(const Texts& files) : input(read_input_nn(file(files, "input.nn"))) {
    const int n_elements = int(input.elements.size());
    std::vector<Ranges> ranges;
    if (input.scaling() != "none" || files.count("scaling.data"))
        ranges = read_scaling(file(files, "scaling.data"), input);
    std::vector<std::string> checksums;
    std::vector<std::vector<LayerSpec>> layers;
    for (int e = 0; e < n_elements; ++e) {
        const std::vector<double> values =
            read_weights(file(files, weights_name(input.numbers[e])), input, e);
        checksums.push_back(sha256(values));
        layers.push_back(network(input, e, values));
    }
    check_identity(files, input, ranges, checksums);

    if (files.count("uncertainty.data") && input.mc_samples != 0) {
        const Masks masks = read_masks(file(files, "uncertainty.data"), input, checksums);
        const int wanted = input.mc_samples < 0 ? masks.samples : input.mc_samples;
        if (wanted > masks.samples)
            throw FileError("mc_samples is " + std::to_string(wanted) + ", but uncertainty.data holds " +
                            std::to_string(masks.samples) +
                            " masks. Set mc_samples to that, or run mode 2 with more");
        if (std::any_of(masks.rates.begin(), masks.rates.end(), [](double rate) { return rate > 0.0; })) {
            samples = wanted;
            for (int e = 0; e < n_elements; ++e) put_masks(layers[e], masks, e, samples);
        }
        if (samples > 1) calibration = read_calibration(files.at("uncertainty.data"), input, checksums);
    }
    std::vector<FunctionSpec> functions;
    for (const auto& list : input.functions)
        for (const SymmetryFunction& function : list) functions.push_back(function.spec);
    plan = make_plan(std::vector<double>(input.numbers.begin(), input.numbers.end()), functions,
                     input.cutoff_type, input.cutoff_alpha);
    for (const FunctionSpec& function : functions) radius = std::max(radius, function.r_c);

    networks = plan_networks(layers, samples, plan.width, input.normalize_nodes);

    angstrom = input.metal ? 1.0 : BOHR;
    ev = input.metal ? 1.0 : HARTREE;
    shortest = input.bond_threshold >= 0.0 ? input.bond_threshold : SHORTEST * BOHR / angstrom;
    set_scaling(ranges);
}

// The formulas of bnnp.descriptors.scaling; factor 0 where a function never varied and would divide by zero.
void Potential::set_scaling(const std::vector<Ranges>& ranges) {
    const std::string kind = input.scaling();
    const std::size_t size = input.elements.size() * std::size_t(plan.width);
    shift.assign(size, 0.0), factor.assign(size, 1.0), offset.assign(size, 0.0);
    if (ranges.empty()) return;
    minimum.assign(size, 0.0), maximum.assign(size, 0.0);
    for (std::size_t e = 0; e < ranges.size(); ++e)
        for (std::size_t f = 0; f < ranges[e].minimum.size(); ++f) {
            const Ranges& r = ranges[e];
            const std::size_t k = e * plan.width + f;
            minimum[k] = r.minimum[f], maximum[k] = r.maximum[f];
            if (kind == "none") continue;
            shift[k] = kind == "scale" ? r.minimum[f] : r.mean[f];
            if (kind == "center") continue;
            const double spread = r.maximum[f] - r.minimum[f],
                         largest = std::max(std::abs(r.minimum[f]), std::abs(r.maximum[f]));
            const double width = kind == "sigma" ? r.sigma[f] : spread;
            const bool dead =
                spread <= std::max(ROUNDING * largest, std::numeric_limits<double>::min()) || width <= 0.0;
            factor[k] = dead ? 0.0 : (input.s_max - input.s_min) / width;
            offset[k] = input.s_min;
        }
}

std::string Potential::describe() const {
    std::string text;
    for (std::size_t e = 0; e < input.elements.size(); ++e) {
        text += (e ? ", " : "") + input.elements[e] + " ";
        for (const Layer& layer : networks.elements[e].layers) text += std::to_string(layer.n_in) + "-";
        text += "1";
    }
    char numbers[64];
    std::snprintf(numbers, sizeof numbers, "; cutoff %.4g Angstrom; ", radius * angstrom);
    return text + numbers +
           (samples > 1 ? std::to_string(samples) + " Monte Carlo samples"
                        : "plain networks, no uncertainty");
}

}  // namespace bnnp

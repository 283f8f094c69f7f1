#include "plan/networks.hpp"

#include <algorithm>
#include <stdexcept>

namespace bnnp {

namespace {

void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

void check(const std::vector<LayerSpec>& layers, int n_samples, int width) {
    require(!layers.empty() && layers.back().n_out == 1, "a network ends with one output");
    require(layers[0].n_in <= width, "a network has more inputs than there are columns");
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const LayerSpec& layer = layers[l];
        require(l == 0 || layer.n_in == layers[l - 1].n_out, "the layers of a network do not fit together");
        const std::size_t n_in = layer.n_in, n_out = layer.n_out;
        require(layer.weights.size() == n_in * n_out && layer.biases.size() == n_out,
                "weights (n_in, n_out), biases (n_out,)");
        require(layer.masks.empty() || layer.masks.size() == n_in * n_samples,
                "masks must have the shape (n_in, n_samples)");
        require(layer.means.empty() || layer.means.size() == n_in, "means must have the shape (n_in,)");
    }
}

void put_masks(Layer& layer, const std::vector<double>& masks, int n_samples) {
    if (masks.empty()) return;
    layer.kept = *std::max_element(masks.begin(), masks.end());
    layer.masks.assign(std::size_t(n_samples) * layer.input_row(), 0.0);
    layer.first_dropped.assign(1, 0);
    for (int s = 0; s < n_samples; ++s) {
        for (int u = 0; u < layer.n_in; ++u) {
            const double factor = masks[std::size_t(u) * n_samples + s];
            require(factor == 0.0 || factor == layer.kept, "masks of a layer must be 0 or one common factor");
            layer.masks[std::size_t(s) * layer.input_row() + u] = factor;
            if (factor == 0.0) layer.dropped.push_back(u);
        }
        layer.first_dropped.push_back(int(layer.dropped.size()));
    }
}

void put_shifts(Layer& layer, const std::vector<double>& means, int n_samples) {
    if (means.empty() || layer.masks.empty()) return;
    const int row = layer.row();
    layer.shifts.assign(std::size_t(n_samples) * row, 0.0);
    for (int s = 0; s < n_samples; ++s)
        for (int u = 0; u < layer.n_in; ++u) {
            const double missing = means[u] * (1.0 - layer.masks[std::size_t(s) * layer.input_row() + u]);
            for (int o = 0; o < layer.n_out; ++o)
                layer.shifts[std::size_t(s) * row + o] += missing * layer.weights[std::size_t(u) * row + o];
        }
}

Layer make_layer(const LayerSpec& spec, int n_samples, bool normalize_nodes) {
    Layer layer;
    layer.n_in = spec.n_in, layer.n_out = spec.n_out, layer.activation = spec.activation;
    layer.weights.assign(std::size_t(layer.n_in) * layer.row(), 0.0);
    layer.transposed.assign(std::size_t(layer.n_out) * layer.input_row(), 0.0);
    layer.biases.assign(layer.row(), 0.0);
    const double scale = normalize_nodes ? 1.0 / spec.n_in : 1.0;  // (b + sum w y) / n_in
    for (int o = 0; o < spec.n_out; ++o) {
        layer.biases[o] = scale * spec.biases[o];
        for (int u = 0; u < spec.n_in; ++u) {
            const double weight = scale * spec.weights[std::size_t(u) * spec.n_out + o];
            layer.weights[std::size_t(u) * layer.row() + o] = weight;
            layer.transposed[std::size_t(o) * layer.input_row() + u] = weight;
        }
    }
    put_masks(layer, spec.masks, n_samples);
    put_shifts(layer, spec.means, n_samples);
    return layer;
}

}  // namespace

NetworkPlan plan_networks(const std::vector<std::vector<LayerSpec>>& elements, int n_samples, int width,
                          bool normalize_nodes, bool centered) {
    require(n_samples >= 1 && width >= 1, "at least one sample and one input");
    NetworkPlan plan;
    plan.n_samples = n_samples, plan.width = width, plan.centered = centered;
    for (const auto& specs : elements) {
        check(specs, n_samples, width);
        ElementNetwork network;
        for (const LayerSpec& spec : specs)
            network.layers.push_back(make_layer(spec, n_samples, normalize_nodes));
        const auto masked = std::find_if(network.layers.begin(), network.layers.end(),
                                         [](const Layer& layer) { return !layer.masks.empty(); });
        network.first_mask = int(masked - network.layers.begin());
        plan.masked_inputs = plan.masked_inputs || network.first_mask == 0;
        plan.elements.push_back(std::move(network));
    }
    for (const ElementNetwork& network : plan.elements) {
        const Layer& first = network.layers[0];
        plan.span = std::max(plan.span, plan.masked_inputs ? first.n_in : first.n_out);
    }
    return plan;
}

}  // namespace bnnp

// Energies of all samples of one atom, the gradient of their mean, and each sample's gradient with respect to the
// pre-activations of layer 1. Arrays over (unit, sample) have the samples contiguous.

// f(x) and f'(x) for RuNNer's activation letters, n values in place: z becomes f(z), d its derivative.
static void activate(char letter, double* __restrict z, double* __restrict d, int n) {
    switch (letter) {
        case 'l':
            for (int i = 0; i < n; ++i) d[i] = 1.0;
            return;
        case 't':
#pragma GCC ivdep
            for (int i = 0; i < n; ++i) {
                const double e = exponential(-2.0 * std::abs(z[i])), t = (1.0 - e) / (1.0 + e);
                d[i] = 4.0 * e / ((1.0 + e) * (1.0 + e));
                z[i] = z[i] < 0.0 ? -t : t;
            }
            return;
        case 's':
        case 'S':
#pragma GCC ivdep
            for (int i = 0; i < n; ++i) {
                const double e = exponential(-std::abs(z[i])), q = 1.0 / (1.0 + e);
                const double rising = z[i] < 0.0 ? e * q : q;
                const double falling = z[i] < 0.0 ? q : e * q;
                d[i] = letter == 's' ? e * q * q : -e * q * q;
                z[i] = letter == 's' ? rising : falling;
            }
            return;
        case 'g':
            for (int i = 0; i < n; ++i) {
                const double x = z[i];
                z[i] = std::exp(-0.5 * x * x);
                d[i] = -x * z[i];
            }
            return;
        case 'c':
            for (int i = 0; i < n; ++i) d[i] = -std::sin(z[i]), z[i] = std::cos(z[i]);
            return;
        case 'e':
            for (int i = 0; i < n; ++i) z[i] = std::exp(-z[i]), d[i] = -z[i];
            return;
        case 'h':
            for (int i = 0; i < n; ++i) d[i] = 2.0 * z[i], z[i] = z[i] * z[i];
            return;
        case 'p':
            for (int i = 0; i < n; ++i) {
                const double e = std::exp(-std::abs(z[i]));
                d[i] = z[i] < 0.0 ? e / (1.0 + e) : 1.0 / (1.0 + e);
                z[i] = std::max(z[i], 0.0) + std::log1p(e);
            }
            return;
        default:  // 'r'
            for (int i = 0; i < n; ++i) d[i] = z[i] > 0.0 ? 1.0 : 0.0, z[i] = std::max(z[i], 0.0);
    }
}

class Sampler {
  public:
    Sampler(const NetworkPlan& plan, const SampleTask& task) : plan(plan), task(task) {}

    void atom(std::int64_t i) {
        const auto& layers = plan.elements[task.types[i]];
        const int samples = plan.n_samples, n_layers = int(layers.size());
        // Without a mask on the inputs, layer 1 has one column for all samples.
        const int columns0 = layers[0].masks.empty() ? 1 : samples;
        std::size_t total = 0;
        for (const Layer& layer : layers) total += 3 * std::size_t(layer.n_out) * samples;
        std::size_t widest = layers[0].n_in;
        for (const Layer& layer : layers) widest = std::max(widest, std::size_t(layer.n_out));
        double* memory = storage.get(total + 2 * widest * samples);
        double *input = memory + total, *back = input + widest * samples;

        const double* x = task.inputs + i * plan.width;
        for (int u = 0; u < layers[0].n_in; ++u)
            for (int s = 0; s < columns0; ++s) input[u * columns0 + s] = columns0 == 1 ? x[u] : x[u] * layers[0].masks[u * samples + s];

        int columns = columns0;
        double* position = memory;
        for (int l = 0; l < n_layers; ++l) {
            const Layer& layer = layers[l];
            double *z = position, *d = z + std::size_t(layer.n_out) * samples;
            affine(layer, input, z, columns);
            activate(layer.activation, z, d, layer.n_out * columns);
            position = d + 2 * std::size_t(layer.n_out) * samples;
            if (l + 1 < n_layers) columns = next_input(layers[l + 1], z, input, columns, samples);
        }
        const double* output = position - 3 * std::size_t(layers[n_layers - 1].n_out) * samples;
        double* energies = task.energies + i * samples;
        for (int s = 0; s < samples; ++s) energies[s] = output[columns == 1 ? 0 : s];
        if (task.gradient || task.delta) backward(i, layers, position, back, columns0, columns);
    }

  private:
    const NetworkPlan& plan;
    const SampleTask& task;
    Buffer<double> storage, mean_delta;

    void affine(const Layer& layer, const double* input, double* z, int columns) const {
        const int n_out = layer.n_out;
        for (int o = 0; o < n_out; ++o)
            for (int s = 0; s < columns; ++s) z[o * columns + s] = layer.biases[o];
        for (int u = 0; u < layer.n_in; ++u) {
            const double* __restrict weights = &layer.weights[std::size_t(u) * n_out];
            if (columns == 1) {  // the nodes are the contiguous index
                const double x = input[u];
                for (int o = 0; o < n_out; ++o) z[o] += weights[o] * x;
                continue;
            }
            for (int o = 0; o < n_out; ++o) {
                const double w = weights[o];
                double* __restrict out = z + o * columns;
                const double* __restrict in = input + u * columns;
                for (int s = 0; s < columns; ++s) out[s] += w * in[s];
            }
        }
        if (plan.normalize_nodes)
            for (int m = 0; m < n_out * columns; ++m) z[m] /= layer.n_in;
    }

    // Outputs of a layer, masked, as inputs of the next; returns the number of columns.
    static int next_input(const Layer& next, const double* z, double* input, int columns, int samples) {
        if (next.masks.empty()) {
            std::memcpy(input, z, sizeof(double) * std::size_t(next.n_in) * columns);
            return columns;
        }
        for (int u = 0; u < next.n_in; ++u)
            for (int s = 0; s < samples; ++s)
                input[u * samples + s] = z[u * columns + (columns == 1 ? 0 : s)] * next.masks[u * samples + s];
        return samples;
    }

    // From the output back to layer 1. `position` is the end of the forward memory: per layer z, d, delta.
    void backward(std::int64_t i, const std::vector<Layer>& layers, double* position, double* back, int columns0, int columns) {
        const int samples = plan.n_samples, n_layers = int(layers.size());
        double* above = nullptr;  // delta of the layer above, `above_columns` columns
        int above_columns = columns;
        for (int l = n_layers - 1; l >= 0; --l) {
            const Layer& layer = layers[l];
            const std::size_t size = std::size_t(layer.n_out) * samples;
            double *delta = position - size, *d = delta - size;
            position -= 3 * size;
            const double scale = plan.normalize_nodes ? 1.0 / layer.n_in : 1.0;
            const int own = l + 1 < n_layers ? forward_columns(layers, l, columns0) : columns;
            if (l == n_layers - 1) {
                for (int m = 0; m < layer.n_out * own; ++m) delta[m] = d[m] * scale;
                above = delta, above_columns = own;
                continue;
            }
            const Layer& next = layers[l + 1];
            transpose(next, above, back, above_columns);
            for (int u = 0; u < layer.n_out; ++u)
                for (int s = 0; s < above_columns; ++s) {
                    const double mask = next.masks.empty() ? 1.0 : next.masks[u * samples + s];
                    delta[u * above_columns + s] = back[u * above_columns + s] * mask * d[u * own + (own == 1 ? 0 : s)] * scale;
                }
            above = delta;
        }
        if (task.delta) store_delta(i, layers[0], above, above_columns);
        if (task.gradient) store_gradient(i, layers[0], above, back, above_columns);
    }

    // Columns a layer's own pre-activations have: one as long as no mask came before it.
    int forward_columns(const std::vector<Layer>& layers, int l, int columns0) const {
        if (columns0 != 1) return plan.n_samples;
        for (int m = 1; m <= l; ++m)
            if (!layers[m].masks.empty()) return plan.n_samples;
        return 1;
    }

    static void transpose(const Layer& layer, const double* delta, double* back, int columns) {
        for (int u = 0; u < layer.n_in; ++u) {
            const double* __restrict weights = &layer.weights[std::size_t(u) * layer.n_out];
            if (columns == 1) {
                double sum = 0.0;
#pragma omp simd reduction(+ : sum)
                for (int o = 0; o < layer.n_out; ++o) sum += weights[o] * delta[o];
                back[u] = sum;
                continue;
            }
            double* __restrict out = back + u * columns;
            for (int s = 0; s < columns; ++s) out[s] = 0.0;
            for (int o = 0; o < layer.n_out; ++o) {
                const double w = weights[o];
                const double* __restrict in = delta + o * columns;
                for (int s = 0; s < columns; ++s) out[s] += w * in[s];
            }
        }
    }

    void store_delta(std::int64_t i, const Layer& layer, const double* delta, int columns) {
        const int samples = plan.n_samples;
        double* out = task.delta + i * plan.first_layer * samples;
        for (int u = 0; u < plan.first_layer; ++u)
            for (int s = 0; s < samples; ++s)
                out[u * samples + s] = u < layer.n_out ? delta[u * columns + (columns == 1 ? 0 : s)] : 0.0;
    }

    void store_gradient(std::int64_t i, const Layer& layer, const double* delta, double* back, int columns) {
        double* out = task.gradient + i * plan.width;
        for (int u = 0; u < plan.width; ++u) out[u] = 0.0;
        if (!layer.masks.empty()) {
            transpose(layer, delta, back, columns);
            for (int u = 0; u < layer.n_in; ++u) {
                for (int s = 0; s < columns; ++s) out[u] += back[u * columns + s] * layer.masks[u * columns + s];
                out[u] /= columns;
            }
            return;
        }
        for (int o = 0; o < layer.n_out; ++o) {
            double mean = 0.0;
            for (int s = 0; s < columns; ++s) mean += delta[o * columns + s];
            back[o] = mean / columns;
        }
        std::memcpy(mean_delta.get(layer.n_out), back, sizeof(double) * layer.n_out);
        transpose(layer, mean_delta.data, out, 1);
    }
};

void sample_networks(const NetworkPlan& plan, const SampleTask& task, std::int64_t begin, std::int64_t end) {
    Sampler sampler(plan, task);
    for (std::int64_t i = begin; i < end; ++i) sampler.atom(i);
}

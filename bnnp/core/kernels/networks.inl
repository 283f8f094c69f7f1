// Element networks and all their Monte Carlo samples, see networks.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/pack.inl"
#include "kernels/tasks.hpp"
#include "kernels/vectormath.inl"
#include "kernels/workspace.inl"
#include "plan/networks.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

// f(x) and f'(x) for RuNNer's activation letters, n values in place: z becomes f(z), d its derivative.
static void activate(char letter, double* __restrict z, double* __restrict d, int n) {
    switch (letter) {
        case 'l':
            for (int i = 0; i < n; ++i) d[i] = 1.0;
            return;
        case 't':
#pragma GCC ivdep
            for (int i = 0; i < n; ++i) {
                const double e = exponential(-2.0 * std::abs(z[i])), q = 1.0 / (1.0 + e), t = (1.0 - e) * q;
                d[i] = 4.0 * e * q * q;
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

// out = bias + x w for `rows` rows of x, (rows, k) each `x_row` numbers after the other; w (k, row), out
// (rows, row). R rows and P registers of w at a time stay in registers.
template <int R, int P>
static inline void product_tile(const double* x, std::ptrdiff_t x_row, const double* w, int k, int row,
                                const double* bias, double* out) {
    constexpr int n = lanes<double>;
    Pack<double> sums[R][P];
    for (int r = 0; r < R; ++r)
        for (int p = 0; p < P; ++p) sums[r][p] = bias ? load(bias + p * n) : Pack<double>{};
    for (int u = 0; u < k; ++u) {
        Pack<double> weights[P];
        for (int p = 0; p < P; ++p) weights[p] = load(w + std::ptrdiff_t(u) * row + p * n);
        for (int r = 0; r < R; ++r)
            for (int p = 0; p < P; ++p) sums[r][p] += x[r * x_row + u] * weights[p];
    }
    for (int r = 0; r < R; ++r)
        for (int p = 0; p < P; ++p) store(out + std::ptrdiff_t(r) * row + p * n, sums[r][p]);
}

template <int R, int P>
static inline void product_columns(const double* x, std::ptrdiff_t x_row, int rows, const double* w, int k,
                                   int row, const double* bias, double* out) {
    int r = 0;
    for (; r + R <= rows; r += R)
        product_tile<R, P>(x + r * x_row, x_row, w, k, row, bias, out + std::ptrdiff_t(r) * row);
    for (; r < rows; ++r)
        product_tile<1, P>(x + r * x_row, x_row, w, k, row, bias, out + std::ptrdiff_t(r) * row);
}

template <int R = 4>
static void product(const double* x, std::ptrdiff_t x_row, int rows, const double* w, int k, int row,
                    const double* bias, double* out) {
    constexpr int n = lanes<double>;
    int c = 0;
    for (; c + 2 * n <= row; c += 2 * n)
        product_columns<R, 2>(x, x_row, rows, w + c, k, row, bias ? bias + c : nullptr, out + c);
    if (c < row) product_columns<R, 1>(x, x_row, rows, w + c, k, row, bias ? bias + c : nullptr, out + c);
}

// a[i] += b[i] and a[i] -= b[i] for a padded row
static inline void add_row(double* a, const double* b, int row) {
    for (int c = 0; c < row; c += lanes<double>) store(a + c, load(a + c) + load(b + c));
}
static inline void subtract_row(double* a, const double* b, int row) {
    for (int c = 0; c < row; c += lanes<double>) store(a + c, load(a + c) - load(b + c));
}

// Energies of all samples of one atom, the gradient of their mean, and the gradient of each. Matrices have a
// row for each sample, or one row for all of them below the first mask.
class Sampler {
  public:
    Sampler(const NetworkPlan& plan, const SampleTask& task) : plan(plan), task(task) {}

    void atom(std::int64_t i) {
        network = &plan.elements[task.types[i]];
        reserve();
        forward(task.inputs + i * plan.width);
        const int top = n_layers() - 1, row = layer(top).row();
        double* energies = task.energies + i * plan.n_samples;
        for (int s = 0; s < plan.n_samples; ++s) energies[s] = outputs[top][rows(top) == 1 ? 0 : s * row];
        if (centered()) center(energies, outputs[top][plain_row(top)]);
        if (task.gradient && centered()) plain_gradient(task.gradient + i * plan.width);
        else if (task.gradient) mean_gradient(task.gradient + i * plan.width);
        if (task.delta) sample_gradients(task.delta + i * plan.span * plan.sample_row());
    }

  private:
    const NetworkPlan& plan;
    const SampleTask& task;
    const ElementNetwork* network = nullptr;
    Buffer<double> storage;
    Buffer<double*> pointers;
    double **outputs = nullptr, **derivatives = nullptr;  // of each layer: f(z) and f'(z), (rows, row)
    double *delta = nullptr, *back = nullptr, *scratch = nullptr;

    int n_layers() const { return int(network->layers.size()); }
    const Layer& layer(int l) const { return network->layers[l]; }
    int rows(int l) const { return l < network->first_mask ? 1 : plan.n_samples; }

    // Whether there is a row of the plain network behind those of the samples.
    bool centered() const { return plan.centered && network->first_mask < n_layers(); }
    std::ptrdiff_t plain_row(int l) const {
        return l < network->first_mask ? 0 : std::ptrdiff_t(plan.n_samples) * layer(l).row();
    }

    // Shifts the values of all samples so that their mean is that of the plain network.
    void center(double* samples, double plain) const {
        double sum = 0.0;
        for (int s = 0; s < plan.n_samples; ++s) sum += samples[s];
        for (int s = 0; s < plan.n_samples; ++s) samples[s] += plain - sum / plan.n_samples;
    }

    void reserve() {
        std::size_t total = 0;
        int widest = layer(0).input_row();
        for (const Layer& each : network->layers) {
            total += 2 * std::size_t(plan.n_samples + 1) * each.row();
            widest = std::max(widest, each.row());
        }
        const std::size_t matrix = std::size_t(std::max(plan.n_samples, widest) + 2) * widest;
        double* at = storage.get(total + 3 * matrix);
        outputs = pointers.get(2 * std::size_t(n_layers()));
        derivatives = outputs + n_layers();
        for (int l = 0; l < n_layers(); ++l) {
            outputs[l] = at, derivatives[l] = at + std::size_t(plan.n_samples + 1) * layer(l).row();
            at += 2 * std::size_t(plan.n_samples + 1) * layer(l).row();
        }
        delta = at, back = at + matrix, scratch = at + 2 * matrix;
    }

    void forward(const double* x) {
        for (int l = 0; l < n_layers(); ++l) {
            const Layer& own = layer(l);
            const double* input = l == 0 ? x : outputs[l - 1];
            if (l == network->first_mask) {
                without_dropped(own, input, outputs[l]);
            } else {
                if (l > network->first_mask && !own.masks.empty())
                    multiply(outputs[l - 1], own.masks.data(), plan.n_samples * own.input_row());
                product(input, own.input_row(), rows(l), own.weights.data(), own.n_in, own.row(),
                        own.biases.data(), outputs[l]);
            }
            if (!own.shifts.empty()) add_row(outputs[l], own.shifts.data(), plan.n_samples * own.row());
            activate(own.activation, outputs[l], derivatives[l], rows(l) * own.row());
            if (centered() && l >= network->first_mask) forward_plain(l, x);
        }
    }

    void forward_plain(int l, const double* x) {
        const Layer& own = layer(l);
        const double* input = l == 0 ? x : outputs[l - 1] + plain_row(l - 1);
        double* output = outputs[l] + plain_row(l);
        product(input, own.input_row(), 1, own.weights.data(), own.n_in, own.row(), own.biases.data(),
                output);
        activate(own.activation, output, derivatives[l] + plain_row(l), own.row());
    }

    // z of every sample from the same y: the sum over all units less the terms of the dropped ones.
    void without_dropped(const Layer& own, const double* y, double* z) {
        const int row = own.row();
        double *all = scratch, *terms = scratch + row;  // terms (n_in, row)
        std::copy(own.biases.begin(), own.biases.end(), all);
        for (int u = 0; u < own.n_in; ++u) {
            const double factor = own.kept * y[u];
            for (int c = 0; c < row; ++c) terms[u * row + c] = factor * own.weights[u * row + c];
            add_row(all, terms + u * row, row);
        }
        for (int s = 0; s < plan.n_samples; ++s) {
            double* out = z + std::ptrdiff_t(s) * row;
            std::memcpy(out, all, sizeof(double) * row);
            for (int d = own.first_dropped[s]; d < own.first_dropped[s + 1]; ++d)
                subtract_row(out, terms + own.dropped[d] * row, row);
        }
    }

    static void multiply(double* __restrict a, const double* __restrict b, int n) {
        for (int m = 0; m < n; ++m) a[m] *= b[m];
    }

    // Numbers from f'(z) of one sample to that of the next: none where one row is for all.
    std::ptrdiff_t derivative_step(int l) const { return rows(l) == 1 ? 0 : layer(l).row(); }

    // From dE/dz of a layer to dE/d(its input) without the masks, both with a row for each of `count`
    // samples.
    void descend_through(const Layer& own, int count) {
        product(delta, own.row(), count, own.transposed.data(), own.n_out, own.input_row(), nullptr, back);
        std::swap(delta, back);
    }

    // dE/dz of layer l from that of layer l + 1
    void descend(int l, int count) {
        const Layer& above = layer(l + 1);
        const std::ptrdiff_t row = above.input_row(), step = derivative_step(l);
        descend_through(above, count);
        if (!above.masks.empty()) multiply(delta, above.masks.data(), count * int(row));
        for (int s = 0; s < count; ++s) multiply(delta + s * row, derivatives[l] + s * step, int(row));
    }

    // From the output down to layer `last`, a row for each sample or one for all.
    void descend_from_output(int last, int count) {
        const int top = n_layers() - 1;
        const std::ptrdiff_t row = layer(top).row(), step = derivative_step(top);
        for (int s = 0; s < count; ++s)
            std::memcpy(delta + s * row, derivatives[top] + s * step, sizeof(double) * row);
        for (int l = top - 1; l >= last; --l) descend(l, count);
    }

    // Mean over the samples of dE/dinput.
    void mean_gradient(double* gradient) {
        const int masked = network->first_mask;
        std::fill(gradient, gradient + plan.width, 0.0);
        int l = masked;  // layer whose dE/dz is in `delta`
        if (masked == n_layers()) {
            descend_from_output(--l, 1);
        } else {
            descend_from_output(masked, plan.n_samples);
            mean_input_gradient(layer(masked));
            if (l-- == 0) return void(std::copy(delta, delta + layer(0).n_in, gradient));
            multiply(delta, derivatives[l], layer(l).row());
        }
        while (--l >= 0) descend(l, 1);
        descend_through(layer(0), 1);
        std::copy(delta, delta + layer(0).n_in, gradient);
    }

    // The row of the plain network alone, from the output to the input; it stays in `delta`.
    void descend_plain(int last) {
        const int top = n_layers() - 1;
        std::copy_n(derivatives[top] + plain_row(top), layer(top).row(), delta);
        for (int l = top - 1; l >= last; --l) {
            descend_through(layer(l + 1), 1);
            multiply(delta, derivatives[l] + plain_row(l), layer(l).row());
        }
    }

    void plain_gradient(double* gradient) {
        descend_plain(0);
        descend_through(layer(0), 1);
        std::copy(delta, delta + layer(0).n_in, gradient);
    }

    // delta becomes the mean over the samples of dE/d(input of this layer), one row: for each unit the sum
    // over all samples less those that dropped it.
    void mean_input_gradient(const Layer& own) {
        const int row = own.row();
        double *all = scratch, *without = scratch + row;  // without (n_in, row)
        std::fill(scratch, scratch + std::size_t(own.n_in + 1) * row, 0.0);
        for (int s = 0; s < plan.n_samples; ++s) {
            const double* sample = delta + std::ptrdiff_t(s) * row;
            add_row(all, sample, row);
            for (int d = own.first_dropped[s]; d < own.first_dropped[s + 1]; ++d)
                add_row(without + own.dropped[d] * row, sample, row);
        }
        std::fill(delta, delta + own.input_row(), 0.0);
        for (int u = 0; u < own.n_in; ++u) {
            double slope = 0.0;
            for (int o = 0; o < own.n_out; ++o)
                slope += own.weights[u * row + o] * (all[o] - without[u * row + o]);
            delta[u] = slope * own.kept / plan.n_samples;
        }
    }

    // Each sample's gradient, (span, padded n_samples); zeros in the padding.
    void sample_gradients(double* out) {
        const bool inputs = plan.masked_inputs;
        const Layer& first = layer(0);
        const int used = inputs ? first.n_in : first.n_out;
        double* plain = scratch;
        if (centered()) {
            descend_plain(0);
            if (inputs) descend_through(first, 1);
            std::copy_n(delta, used, plain);
        }
        descend_from_output(0, plan.n_samples);
        int row = first.row();
        if (inputs) {
            row = first.input_row();
            descend_through(first, plan.n_samples);
            if (!first.masks.empty()) multiply(delta, first.masks.data(), plan.n_samples * row);
        }
        const int samples = plan.sample_row();
        std::fill(out, out + std::ptrdiff_t(plan.span) * samples, 0.0);
        for (int u = 0; u < used; ++u) {
            for (int s = 0; s < plan.n_samples; ++s)
                out[u * samples + s] = delta[std::ptrdiff_t(s) * row + u];
            if (centered()) center(out + u * samples, plain[u]);
        }
    }
};

static void sample_networks(const NetworkPlan& plan, const SampleTask& task, Range atoms) {
    Sampler sampler(plan, task);
    for (std::int64_t i = atoms.begin; i < atoms.end; ++i) sampler.atom(i);
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

// Forces of every Monte Carlo sample. The gradients of all samples are combinations of a few vectors
// (plan/networks.hpp), so the derivatives of each pair are first contracted with these, and only the result
// with the coefficients of every sample.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/networks.inl"
#include "kernels/sweeps.inl"

namespace bnnp::BNNP_INSTRUCTION_SET {

// For each element and neighbor element the matrix that the derivatives of a pair are contracted with,
// (n_sensitive, padded span).
class SpanRows {
  public:
    SpanRows(const Plan& plan, const NetworkPlan& networks, const double* factors)
        : row(padded(networks.span)),
          n_elements(int(plan.elements.size())),
          size(std::size_t(plan.width) * row) {
        tables = memory.get(n_elements * n_elements * size);
        std::memset(tables, 0, sizeof(double) * n_elements * n_elements * size);
        for (int e = 0; e < n_elements; ++e)
            for (int other = 0; other < n_elements; ++other) {
                const Layer& first = networks.elements[e].layers[0];
                double* rows = tables + (e * n_elements + other) * size;
                for (const int column : plan.elements[e].sensitive[other]) {
                    const double factor = factors[e * plan.width + column];
                    const double* weights = &first.weights[std::size_t(column) * first.row()];
                    if (networks.masked_inputs) rows[column] = -factor;
                    else
                        for (int o = 0; o < first.n_out; ++o) rows[o] = -factor * weights[o];
                    rows += row;
                }
            }
    }

    const double* of(int element, int neighbor) const {
        return tables + (element * n_elements + neighbor) * size;
    }

    const int row;

  private:
    const int n_elements;
    const std::size_t size;
    Buffer<double> memory;
    double* tables;
};

// Where the slopes of center i begin: its pairs, then four more (3, padded span) for itself and the virial.
static inline double* slopes_of(const PairList& pairs, const SampleForceTask& task, std::int64_t i, int row) {
    const std::int64_t before = pairs.first[i] - pairs.first[task.first_center] + 4 * (i - task.first_center);
    return task.slopes + before * 3 * row;
}

static void sample_slopes(const Plan& plan, const PairList& pairs, const NetworkPlan& networks,
                          const SampleForceTask& task, Range centers) {
    const SpanRows rows(plan, networks, task.factors);
    const int row = rows.row;
    Buffer<double> block_memory;
    Task jacobian;
    jacobian.sweep = Sweep::jacobian;
    jacobian.blocks_double = true;
    jacobian.block_offsets = task.block_offsets;
    Kernel<double> kernel(plan, pairs, jacobian);
    for (std::int64_t i = centers.begin; i < centers.end; ++i) {
        const std::int64_t first = pairs.first[i], last = pairs.first[i + 1];
        const std::int64_t offset = task.block_offsets[first];
        double* blocks = block_memory.get(std::size_t(task.block_offsets[last] - offset) + 8);
        jacobian.blocks = blocks - offset;
        kernel.run({i, i + 1});

        double *slopes = slopes_of(pairs, task, i, row), *own = slopes + (last - first) * 3 * row;
        std::fill(own, own + 12 * row, 0.0);
        for (std::int64_t p = first; p < last; ++p, slopes += 3 * row) {
            const int type = pairs.types[i], other = pairs.types[pairs.neighbors[p]];
            const int n = int(plan.elements[type].sensitive[other].size());
            product<3>(blocks + (task.block_offsets[p] - offset), n, 3, rows.of(type, other), n, row, nullptr,
                       slopes);
            subtract_row(own, slopes, 3 * row);
            for (int d = 0; d < 3; ++d) {
                const double x = pairs.vectors[3 * p + d];
                double* __restrict virial = own + 3 * (d + 1) * row;
                for (int m = 0; m < 3 * row; ++m) virial[m] -= x * slopes[m];
            }
        }
    }
}

// target (3, samples) += slopes (3, row) delta (span, samples), for N registers of samples.
template <int N>
static inline void add_product(double* target, const double* slopes, int row, const double* delta, int span,
                               int samples) {
    constexpr int n = lanes<double>;
    Pack<double> sums[3][N];
    for (int c = 0; c < 3; ++c)
        for (int m = 0; m < N; ++m) sums[c][m] = load(target + c * samples + m * n);
    for (int u = 0; u < span; ++u) {
        Pack<double> coefficients[N];
        for (int m = 0; m < N; ++m) coefficients[m] = load(delta + std::ptrdiff_t(u) * samples + m * n);
        for (int c = 0; c < 3; ++c)
            for (int m = 0; m < N; ++m) sums[c][m] += slopes[c * row + u] * coefficients[m];
    }
    for (int c = 0; c < 3; ++c)
        for (int m = 0; m < N; ++m) store(target + c * samples + m * n, sums[c][m]);
}

// N registers of samples from number `sample` on.
template <int N>
static void add_forces(const PairList& pairs, const NetworkPlan& networks, const SampleForceTask& task,
                       std::int64_t sample, Range centers) {
    const int row = padded(networks.span), samples = networks.sample_row(), span = networks.span;
    for (std::int64_t i = centers.begin; i < centers.end; ++i) {
        const double* slopes = slopes_of(pairs, task, i, row);
        const double* delta = task.delta + i * span * samples + sample;
        const auto add = [&](double* matrices, std::int64_t number) {
            add_product<N>(matrices + number * 3 * samples + sample, slopes, row, delta, span, samples);
            slopes += 3 * row;
        };
        for (std::int64_t p = pairs.first[i]; p < pairs.first[i + 1]; ++p)
            add(task.forces, task.neighbors[p]);
        add(task.forces, task.centers ? task.centers[i] : i);
        for (int d = 0; d < 3 && task.virials; ++d) add(task.virials, d);
    }
}

static void sample_forces(const PairList& pairs, const NetworkPlan& networks, const SampleForceTask& task,
                          Range samples, Range centers) {
    constexpr int n = lanes<double>;
    constexpr int widest = register_bytes == 64 ? 4 : 2;  // 3 x widest sums stay in registers
    for (std::int64_t s = samples.begin; s < samples.end;) {
        const int count = int(std::min<std::int64_t>(widest, (samples.end - s) / n));
        if (count == 4) add_forces<4>(pairs, networks, task, s, centers);
        else if (count == 3) add_forces<3>(pairs, networks, task, s, centers);
        else if (count == 2) add_forces<2>(pairs, networks, task, s, centers);
        else add_forces<1>(pairs, networks, task, s, centers);
        s += count * n;
    }
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

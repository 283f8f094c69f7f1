// Forces of every Monte Carlo sample. The gradients of all samples are combinations of a few vectors (networks.hpp), so
// each pair's derivatives are first contracted with these, and only the result with every sample's coefficients.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/kernels.hpp"
#include "kernels/networks.inl"
#include "kernels/sweeps.inl"

namespace bnnp::BNNP_INSTRUCTION_SET {

// Of each neighbor's element: the rows that the derivatives of a pair are contracted with, (n_sensitive, padded span).
class SpanRows {
  public:
    SpanRows(const Plan& plan, const NetworkPlan& networks, const double* factors) : row(padded(networks.span)) {
        const int n_elements = int(plan.elements.size());
        for (int e = 0; e < n_elements; ++e)
            for (int other = 0; other < n_elements; ++other) {
                const auto& columns = plan.elements[e].sensitive[other];
                std::vector<double> rows(columns.size() * std::size_t(row), 0.0);
                for (std::size_t k = 0; k < columns.size(); ++k) {
                    const double factor = factors[e * plan.width + columns[k]];
                    const Layer& first = networks.elements[e].layers[0];
                    if (networks.masked_inputs) rows[k * row + columns[k]] = -factor;
                    else
                        for (int o = 0; o < first.n_out; ++o) rows[k * row + o] = -factor * first.weights[std::size_t(columns[k]) * first.row() + o];
                }
                tables.push_back(std::move(rows));
            }
    }
    const double* of(int element, int neighbor_element, int n_elements) const { return tables[element * n_elements + neighbor_element].data(); }

    const int row;

  private:
    std::vector<std::vector<double>> tables;
};

// Where the slopes of center i begin: its pairs, then four more (3, padded span) for itself and the virial.
static inline double* slopes_of(const PairList& pairs, const SampleForceTask& task, std::int64_t i, int row) {
    const std::int64_t before = pairs.first[i] - pairs.first[task.first_center] + 4 * (i - task.first_center);
    return task.slopes + before * 3 * row;
}

void sample_slopes(const Plan& plan, const PairList& pairs, const NetworkPlan& networks, const SampleForceTask& task,
                   std::int64_t begin, std::int64_t end) {
    const SpanRows rows(plan, networks, task.factors);
    const int row = rows.row, n_elements = int(plan.elements.size());
    Buffer<double> block_memory;
    Task jacobian;
    jacobian.sweep = Sweep::jacobian;
    jacobian.blocks_double = true;
    jacobian.block_offsets = task.block_offsets;
    Kernel<double> kernel(plan, pairs, jacobian);
    for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t first = pairs.first[i], last = pairs.first[i + 1], offset = task.block_offsets[first];
        double* blocks = block_memory.get(std::size_t(task.block_offsets[last] - offset) + 8);
        jacobian.blocks = blocks - offset;
        kernel.run(i, i + 1);

        double *slopes = slopes_of(pairs, task, i, row), *own = slopes + (last - first) * 3 * row;
        std::fill(own, own + 12 * row, 0.0);
        for (std::int64_t p = first; p < last; ++p, slopes += 3 * row) {
            const int type = pairs.types[i], other = pairs.types[pairs.neighbors[p]];
            const int n = int(plan.elements[type].sensitive[other].size());
            product<3>(blocks + (task.block_offsets[p] - offset), n, 3, rows.of(type, other, n_elements), n, row, nullptr, slopes);
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
static inline void add_product(double* target, const double* slopes, int row, const double* delta, int span, int samples) {
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

// The centers [begin, end) for N registers of samples from number `sample` on.
template <int N>
static void add_forces(const PairList& pairs, const NetworkPlan& networks, const SampleForceTask& task, int sample, std::int64_t begin, std::int64_t end) {
    const int row = padded(networks.span), samples = networks.sample_row(), span = networks.span;
    for (std::int64_t i = begin; i < end; ++i) {
        const double *slopes = slopes_of(pairs, task, i, row), *delta = task.delta + i * span * samples + sample;
        const auto add = [&](double* matrices, std::int64_t number) {
            add_product<N>(matrices + number * 3 * samples + sample, slopes, row, delta, span, samples);
            slopes += 3 * row;
        };
        for (std::int64_t p = pairs.first[i]; p < pairs.first[i + 1]; ++p) add(task.forces, task.neighbors[p]);
        add(task.forces, task.centers ? task.centers[i] : i);
        for (int d = 0; d < 3 && task.virials; ++d) add(task.virials, d);
    }
}

void sample_forces(const PairList& pairs, const NetworkPlan& networks, const SampleForceTask& task, int sample, int count,
                   std::int64_t begin, std::int64_t end) {
    constexpr int n = lanes<double>, widest = register_bytes == 64 ? 4 : 2;  // 3 x widest sums stay in registers
    for (const int last = sample + count; sample < last;) {
        const int left = (last - sample) / n;
        if (left >= widest) add_forces<widest>(pairs, networks, task, sample, begin, end), sample += widest * n;
        else if (left == 3) add_forces<3>(pairs, networks, task, sample, begin, end), sample += 3 * n;
        else if (left == 2) add_forces<2>(pairs, networks, task, sample, begin, end), sample += 2 * n;
        else add_forces<1>(pairs, networks, task, sample, begin, end), sample += n;
    }
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

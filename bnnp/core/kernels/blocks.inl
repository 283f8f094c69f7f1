// Sweeps over stored derivative blocks: the same numbers as vjp and jvp, read instead of computed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tasks.hpp"
#include "kernels/workspace.inl"
#include "plan/symmetry_functions.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

template <typename In>
static void blocks_vjp_of(const Plan& plan, const PairList& pairs, const BlockTask& task, Range centers) {
    const In* blocks = static_cast<const In*>(task.blocks);
    const int n_elements = int(plan.elements.size());
    Buffer<double> memory;
    double* gathered = memory.get(std::size_t(n_elements) * plan.width + 8);
    for (std::int64_t i = centers.begin; i < centers.end; ++i) {
        const ElementPlan& element = plan.elements[pairs.types[i]];
        const double* g = task.dE_dG + i * plan.width;
        for (int e = 0; e < n_elements; ++e) {
            const auto& columns = element.sensitive[e];
            for (std::size_t s = 0; s < columns.size(); ++s) gathered[e * plan.width + s] = g[columns[s]];
        }
        for (std::int64_t p = pairs.first[i]; p < pairs.first[i + 1]; ++p) {
            const double* __restrict w = gathered + pairs.types[pairs.neighbors[p]] * plan.width;
            const int n = int(task.block_offsets[p + 1] - task.block_offsets[p]) / 3;
            const In* __restrict d = blocks + task.block_offsets[p];
            double x = 0, y = 0, z = 0;
#pragma omp simd reduction(+ : x, y, z)
            for (int s = 0; s < n; ++s) {
                x += w[s] * double(d[s]);
                y += w[s] * double(d[n + s]);
                z += w[s] * double(d[2 * n + s]);
            }
            double* out = task.dE_dD + 3 * p;
            out[0] = x, out[1] = y, out[2] = z;
        }
    }
}

template <typename In>
static void blocks_jvp_of(const Plan& plan, const PairList& pairs, const BlockTask& task, Range centers) {
    const In* blocks = static_cast<const In*>(task.blocks);
    const int n_elements = int(plan.elements.size());
    Buffer<double> memory;
    double* sums = memory.get(std::size_t(n_elements) * plan.width + 8);
    for (std::int64_t i = centers.begin; i < centers.end; ++i) {
        const ElementPlan& element = plan.elements[pairs.types[i]];
        for (int s = 0; s < n_elements * plan.width; ++s) sums[s] = 0.0;
        for (std::int64_t p = pairs.first[i]; p < pairs.first[i + 1]; ++p) {
            double* __restrict sum = sums + pairs.types[pairs.neighbors[p]] * plan.width;
            const int n = int(task.block_offsets[p + 1] - task.block_offsets[p]) / 3;
            const In* __restrict d = blocks + task.block_offsets[p];
            const double x = task.dD[3 * p], y = task.dD[3 * p + 1], z = task.dD[3 * p + 2];
            for (int s = 0; s < n; ++s)
                sum[s] += x * double(d[s]) + y * double(d[n + s]) + z * double(d[2 * n + s]);
        }
        double* G = task.G + i * plan.width;
        for (int c = 0; c < plan.width; ++c) G[c] = 0.0;
        for (int e = 0; e < n_elements; ++e) {
            const auto& columns = element.sensitive[e];
            for (std::size_t s = 0; s < columns.size(); ++s) G[columns[s]] += sums[e * plan.width + s];
        }
    }
}

static void blocks_vjp(const Plan& plan, const PairList& pairs, const BlockTask& task, Range centers) {
    if (task.blocks_double) blocks_vjp_of<double>(plan, pairs, task, centers);
    else blocks_vjp_of<float>(plan, pairs, task, centers);
}

static void blocks_jvp(const Plan& plan, const PairList& pairs, const BlockTask& task, Range centers) {
    if (task.blocks_double) blocks_jvp_of<double>(plan, pairs, task, centers);
    else blocks_jvp_of<float>(plan, pairs, task, centers);
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

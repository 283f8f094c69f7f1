// Products of the columns of a matrix with each other: blocks of W^T W.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/pack.inl"
#include "kernels/tasks.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

// `height` rows from i and `packs` registers of columns from j: the sums stay in registers.
template <int height, int packs>
static void add_tile(const ProductTask& task, std::int64_t i, std::int64_t j, double* sums) {
    constexpr int n = lanes<double>;
    Pack<double> total[height][packs] = {};
    for (std::int64_t t = 0; t < task.terms; ++t) {
        const double* row = task.factors + t * task.row;
        for (int c = 0; c < packs; ++c) {
            const Pack<double> right = load(row + j + c * n);
            for (int r = 0; r < height; ++r) total[r][c] += row[i + r] * right;
        }
    }
    for (int r = 0; r < height; ++r)
        for (int c = 0; c < packs; ++c) {
            double* target = sums + r * task.stride + c * n;
            store(target, load(target) + task.sign * total[r][c]);
        }
}

static void products(const ProductTask& task) {
    constexpr int n = lanes<double>;
    const auto [begin, end] = task.columns;
    for (std::int64_t i = task.rows.begin; i < task.rows.end;) {
        const bool four = i + 4 <= task.rows.end;
        double* sums = task.sums + (i - task.rows.begin) * task.stride - begin;
        std::int64_t j = begin;
        for (; four && j + 2 * n <= end; j += 2 * n) add_tile<4, 2>(task, i, j, sums + j);
        for (; j < end; j += n)
            four ? add_tile<4, 1>(task, i, j, sums + j) : add_tile<1, 1>(task, i, j, sums + j);
        i += four ? 4 : 1;
    }
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

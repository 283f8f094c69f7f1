// The search of neighbors.hpp within a row of bins.
#pragma once

#include <cstdint>

#include "kernels/kernels.hpp"
#include "kernels/pack.inl"

namespace bnnp::BNNP_INSTRUCTION_SET {

// Numbers of the points among [begin, end) whose squared distance from `point` is below `square`; returns how many.
// Reads and writes up to two registers more.
int close_points(const double* x, const double* y, const double* z, std::int64_t begin, std::int64_t end, const double* point,
                 double square, std::int32_t* found) {
    constexpr int n = lanes<double>;
    const std::int32_t* start = found;
    const Pack<double> number = [] {
        Pack<double> lane{};
        for (int l = 0; l < n; ++l) lane[l] = l;
        return lane;
    }();
    for (std::int64_t k = begin; k < end; k += n) {
        const Pack<double> dx = load(x + k) - point[0], dy = load(y + k) - point[1], dz = load(z + k) - point[2];
        const Mask close = mask_below<double>(dx * dx + dy * dy + dz * dz, square, number, double(end - k), 0);
        if (!close) continue;
        Lanes<double>(close).pack_index(found, std::int32_t(k));
        found += __builtin_popcount(close);
    }
    return int(found - start);
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

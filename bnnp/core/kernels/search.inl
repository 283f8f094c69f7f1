// The search of neighbors.hpp within a row of bins.
#pragma once

#include <cstdint>

#include "kernels/pack.inl"
#include "kernels/tasks.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

static int close_points(const Points& points, Range some, const Sphere& sphere, std::int32_t* found) {
    constexpr int n = lanes<double>;
    const double x = sphere.center[0], y = sphere.center[1], z = sphere.center[2];
    const std::int32_t* start = found;
    const Pack<double> number = [] {
        Pack<double> lane{};
        for (int l = 0; l < n; ++l) lane[l] = l;
        return lane;
    }();
    for (std::int64_t k = some.begin; k < some.end; k += n) {
        const Pack<double> dx = load(points.x + k) - x, dy = load(points.y + k) - y,
                           dz = load(points.z + k) - z;
        const Pack<double> square = dx * dx + dy * dy + dz * dz;
        const Mask close = mask_below<double>(square, sphere.square, number, double(some.end - k), 0);
        if (!close) continue;
        Lanes<double>(close).pack_index(found, std::int32_t(k));
        found += __builtin_popcount(close);
    }
    return int(found - start);
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

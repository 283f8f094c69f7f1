// The search of neighbors.hpp within a row of bins.
#pragma once

#include <cstdint>

#include "kernels/pack.inl"
#include "kernels/tasks.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

static int close_points(const Points& points, Range some, const Sphere& sphere, std::int32_t* found) {
    constexpr int n = lanes<double>;
    const double *x = points.x, *y = points.y, *z = points.z;
    const auto [center_x, center_y, center_z, limit] = sphere;
    const std::int32_t* start = found;
    const Pack<double> number = [] {
        Pack<double> lane{};
        for (int l = 0; l < n; ++l) lane[l] = l;
        return lane;
    }();
    for (std::int64_t k = some.begin; k < some.end; k += n) {
        const Pack<double> dx = load(x + k) - center_x;
        const Pack<double> dy = load(y + k) - center_y;
        const Pack<double> dz = load(z + k) - center_z;
        const Pack<double> square = dx * dx + dy * dy + dz * dz;
        const Mask close = mask_below<double>(square, limit, number, double(some.end - k), 0);
        if (!close) continue;
        Lanes<double>(close).pack_index(found, std::int32_t(k));
        found += __builtin_popcount(close);
    }
    return int(found - start);
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

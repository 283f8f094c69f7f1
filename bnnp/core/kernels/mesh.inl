// Charges spread on a mesh by B-splines, and what lies on a mesh interpolated at the atoms.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/tasks.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

// Calls visit(row of the mesh, ix, iy) for the order^2 rows that an atom reaches.
template <int order, typename Visit>
static inline void mesh_rows(const MeshTask& task, std::int64_t atom, Visit visit) {
    const std::int64_t *shape = task.shape, stride = shape[2] + task.order;
    const std::int32_t* start = task.starts + 3 * atom;
    std::int64_t x = start[0];
    for (int ix = 0; ix < order; ++ix) {
        std::int64_t y = start[1];
        for (int iy = 0; iy < order; ++iy) {
            visit(task.mesh + (x * shape[1] + y) * stride + start[2], ix, iy);
            if (++y == shape[1]) y = 0;
        }
        if (++x == shape[0]) x = 0;
    }
}

template <int order>
static void spread(const MeshTask& task) {
    for (std::int64_t atom = 0; atom < task.n_atoms; ++atom) {
        const double *wx = task.weights + 3 * order * atom, *wy = wx + order, *wz = wy + order;
        const double charge = task.charges[task.rows[atom]];
        double weight[order];
        std::copy_n(wz, order, weight);
        mesh_rows<order>(task, atom, [&](double* __restrict row, int ix, int iy) {
            const double factor = charge * wx[ix] * wy[iy];
            for (int iz = 0; iz < order; ++iz) row[iz] += factor * weight[iz];
        });
    }
}

template <int order>
static void interpolate(const MeshTask& task) {
    for (std::int64_t atom = 0; atom < task.n_atoms; ++atom) {
        const double *wx = task.weights + 3 * order * atom, *wy = wx + order, *wz = wy + order;
        const std::int64_t out = task.rows[atom];
        if (!task.gradients) {
            double sums[order] = {};  // of each of the last points, which are summed at the end
            mesh_rows<order>(task, atom, [&](const double* __restrict row, int ix, int iy) {
                const double factor = wx[ix] * wy[iy];
                for (int iz = 0; iz < order; ++iz) sums[iz] += factor * row[iz];
            });
            double value = 0.0;
            for (int iz = 0; iz < order; ++iz) value += wz[iz] * sums[iz];
            task.values[out] = value;
            continue;
        }
        const double *dx = task.slopes + 3 * order * atom, *dy = dx + order, *dz = dy + order;
        double plain[order] = {}, by_x[order] = {}, by_y[order] = {};
        mesh_rows<order>(task, atom, [&](const double* __restrict row, int ix, int iy) {
            const double factor = wx[ix] * wy[iy], along_x = dx[ix] * wy[iy], along_y = wx[ix] * dy[iy];
            for (int iz = 0; iz < order; ++iz) {
                plain[iz] += factor * row[iz];
                by_x[iz] += along_x * row[iz];
                by_y[iz] += along_y * row[iz];
            }
        });
        double value = 0.0, gradient[3] = {};
        for (int iz = 0; iz < order; ++iz) {
            value += wz[iz] * plain[iz];
            gradient[0] += wz[iz] * by_x[iz];
            gradient[1] += wz[iz] * by_y[iz];
            gradient[2] += dz[iz] * plain[iz];
        }
        task.values[out] = value;
        std::copy_n(gradient, 3, task.gradients + 3 * out);
    }
}

template <int order>
static void on_mesh(const MeshTask& task) {
    if (order != task.order) {
        if constexpr (order > 4) on_mesh<order - 2>(task);
        return;
    }
    if (task.charges) spread<order>(task);
    else interpolate<order>(task);
}

static void mesh(const MeshTask& task) { on_mesh<largest_mesh_order>(task); }

}  // namespace bnnp::BNNP_INSTRUCTION_SET

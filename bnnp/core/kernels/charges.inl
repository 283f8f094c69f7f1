// Pairs of Gaussian charges: erf(r / a) / r from a table, and the screening function at short distances.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/search.inl"
#include "kernels/tasks.hpp"
#include "kernels/workspace.inl"

namespace bnnp::BNNP_INSTRUCTION_SET {

// h(t) = erf(sqrt t) / sqrt t = 2/sqrt(pi) int_0^1 exp(-t s^2) ds, so that erf(r/a)/r = h(r^2/a^2)/a. Its
// derivatives (-1)^m 2/sqrt(pi) I_m with I_m = int_0^1 s^(2m) exp(-t s^2) ds = [2t I_(m+1) + exp(-t)]/(2m+1)
// are at most 2/sqrt(pi)/(2m+1): with intervals of 1/8 the terms up to x^7 leave 3e-16 of it and 5e-14 of h'.
// Beyond t = 36 erf is 1.
struct SmearedTable {
    static constexpr int terms = 8, per_unit = 8, end = 36, intervals = end * per_unit;
    double c[intervals][terms];

    SmearedTable() {
        for (int k = 0; k < intervals; ++k) {
            const double t = (k + 0.5) / per_unit;
            double integral = 0.0, factorials[terms], factorial = 1.0;
            for (int m = 0; m < terms; factorial *= ++m) factorials[m] = factorial;
            for (int m = 200; m >= 0; --m) {
                integral = (2.0 * t * integral + std::exp(-t)) / (2 * m + 1);
                if (m < terms)
                    c[k][m] = (m % 2 ? -1.0 : 1.0) * 2.0 / std::sqrt(M_PI) * integral / factorials[m];
            }
        }
    }
};

// A block of pairs of one center.
struct ChargePairs {
    static constexpr int block = 1024;
    int n = 0, capacity;
    double *x, *y, *z, *square, *scale, *far_scale, *limit, *value, *slope, *far, *far_slope;
    std::int32_t *j, *found;

    explicit ChargePairs(std::int64_t n_images) : capacity(block + int(n_images)) {
        double* next = numbers.get(std::size_t(11) * capacity);
        for (double** each :
             {&x, &y, &z, &square, &scale, &far_scale, &limit, &value, &slope, &far, &far_slope})
            *each = next, next += capacity;
        j = indices.get(std::size_t(2) * capacity + 3 * lanes<double>);
        found = j + capacity;
    }

  private:
    Buffer<double> numbers;
    Buffer<std::int32_t> indices;
};

// erf(r/a)/r and its derivative by r^2, with scale = 1/a^2.
static void smeared(const SmearedTable& table, const double* __restrict square,
                    const double* __restrict scale, double* __restrict value, double* __restrict slope,
                    int n) {
    constexpr int terms = SmearedTable::terms;
    for (int p = 0; p < n; ++p) {
        const double t = square[p] * scale[p], root = std::sqrt(scale[p]);
        if (t >= SmearedTable::end) {
            value[p] = root / std::sqrt(t);
            slope[p] = -0.5 * value[p] / square[p];
            continue;
        }
        const int k = int(t * SmearedTable::per_unit);
        const double x = t - (k + 0.5) / SmearedTable::per_unit;
        double h = table.c[k][terms - 1], dh = 0.0;
        for (int m = terms - 2; m >= 0; --m) {
            dh = dh * x + h;
            h = h * x + table.c[k][m];
        }
        value[p] = root * h;
        slope[p] = root * scale[p] * dh;
    }
}

// 1 - f_s and its derivative by x = (r - r_in) / (r_out - r_in), for 0 <= x < 1.
static void unscreened(int core, double x, double& f, double& df) {
    const double x2 = x * x, q = 1.0 - x2;
    switch (core) {
        case 0: f = 0.5 * (std::cos(M_PI * x) + 1.0), df = -0.5 * M_PI * std::sin(M_PI * x); break;
        case 1: f = (2.0 * x - 3.0) * x2 + 1.0, df = 6.0 * x * (x - 1.0); break;
        case 2:
            f = ((15.0 - 6.0 * x) * x - 10.0) * x2 * x + 1.0, df = ((60.0 - 30.0 * x) * x - 30.0) * x2;
            break;
        case 3:
            f = (((20.0 * x - 70.0) * x + 84.0) * x - 35.0) * x2 * x2 + 1.0;
            df = (((140.0 * x - 420.0) * x + 420.0) * x - 140.0) * x2 * x;
            break;
        case 4:
            f = ((((315.0 - 70.0 * x) * x - 540.0) * x + 420.0) * x - 126.0) * x2 * x2 * x + 1.0;
            df = ((((2520.0 - 630.0 * x) * x - 3780.0) * x + 2520.0) * x - 630.0) * x2 * x2;
            break;
        default: f = std::exp(1.0 - 1.0 / q), df = -2.0 * x / (q * q) * f;
    }
}

// What all images of the pair of the atoms i and j have in common.
struct PairWidths {
    double scale, far_scale, limit;

    PairWidths(const ChargeTask& task, std::int64_t i, std::int64_t j) {
        const double *w = task.widths, *s = task.spreads;
        const double eta_square = s ? s[i] * s[i] + s[j] * s[j] : 0.0;
        scale = 0.5 / (w[i] * w[i] + w[j] * w[j]);
        far_scale = s ? 0.5 / eta_square : 0.0;
        limit = task.cutoff * task.cutoff;
        if (task.reach > 0.0)  // where the Gaussians are those summed over wave vectors, nothing is left
            limit = w[i] != s[i] || w[j] != s[j] ? task.reach * task.reach * eta_square : 0.0;
    }
};

static inline void add_pair(double x, double y, double z, std::int64_t j, const PairWidths& widths,
                            ChargePairs& pairs) {
    const int p = pairs.n++;
    pairs.x[p] = x, pairs.y[p] = y, pairs.z[p] = z;
    pairs.square[p] = x * x + y * y + z * z;
    pairs.scale[p] = widths.scale, pairs.far_scale[p] = widths.far_scale, pairs.limit[p] = widths.limit;
    pairs.j[p] = std::int32_t(j);
}

// Adds the pairs of the atoms i and j within `reach`, all images.
static void add_pairs(const ChargeTask& task, std::int64_t i, std::int64_t j, double reach,
                      ChargePairs& pairs) {
    const double *r_i = task.positions + 3 * i, *r_j = task.positions + 3 * j;
    const double dx = r_j[0] - r_i[0], dy = r_j[1] - r_i[1], dz = r_j[2] - r_i[2];
    const PairWidths widths(task, i, j);
    const Range others{i == j, task.n_images};  // image 0 is no translation
    const int n = close_points(task.images, others, {-dx, -dy, -dz, reach * reach}, pairs.found);
    for (int f = 0; f < n; ++f) {
        const int m = pairs.found[f];
        add_pair(dx + task.images.x[m], dy + task.images.y[m], dz + task.images.z[m], j, widths, pairs);
    }
}

static inline void append(SparseRows& rows, std::int32_t column, double value) {
    rows.columns[rows.n] = column;
    rows.values[rows.n++] = value;
}

// Forces and virial of a block of pairs of atom i, with dA/d(r^2) as far_slope and -dB/d(r^2) as far.
static void add_forces(const ChargeTask& task, std::int64_t i, ChargePairs& pairs) {
    const double *u = task.left, *v = task.right, u_i = u[i], v_i = v[i];
    const std::int32_t* j = pairs.j;
    double *x = pairs.x, *y = pairs.y, *z = pairs.z, xx = 0.0, yy = 0.0, zz = 0.0, xy = 0.0, xz = 0.0,
           yz = 0.0;
    double force[3] = {};
#pragma omp simd reduction(+ : xx, yy, zz, xy, xz, yz)
    for (int p = 0; p < pairs.n; ++p) {
        const double u_j = u[j[p]], v_j = v[j[p]], half = i == j[p] ? 0.5 : 1.0;
        const double factor =
            half * ((u_i * v_j + u_j * v_i) * pairs.far_slope[p] - 2.0 * u_i * u_j * pairs.far[p]);
        const double X = x[p], Y = y[p], Z = z[p];
        x[p] = factor * X, y[p] = factor * Y, z[p] = factor * Z;  // dE/dD
        xx += x[p] * X, yy += y[p] * Y, zz += z[p] * Z;
        xy += x[p] * Y, xz += x[p] * Z, yz += y[p] * Z;
    }
    for (int p = 0; p < pairs.n; ++p) {
        double* other = task.forces + 3 * std::int64_t(j[p]);
        other[0] -= x[p], other[1] -= y[p], other[2] -= z[p];
        force[0] += x[p], force[1] += y[p], force[2] += z[p];
    }
    for (int a = 0; a < 3; ++a) task.forces[3 * i + a] += force[a];
    const double virial[] = {xx, yy, zz, xy, xz, yz};
    for (int k = 0; k < 6; ++k) task.virial[k] += virial[k];
}

// Sums over a block of pairs of atom i, which is then empty.
static void sum_pairs_of(const ChargeTask& task, const SmearedTable& table, std::int64_t i,
                         ChargePairs& pairs) {
    const std::int64_t n_atoms = task.n_atoms;
    const int n = pairs.n;
    const double *square = pairs.square, *limit = pairs.limit;
    smeared(table, square, pairs.scale, pairs.value, pairs.slope, n);
    if (task.spreads) {  // less the Gaussians whose interaction is summed over wave vectors
        smeared(table, square, pairs.far_scale, pairs.far, pairs.far_slope, n);
    } else {
        std::fill_n(pairs.far, n, 0.0);
        std::fill_n(pairs.far_slope, n, 0.0);
    }
    for (int p = 0; p < n; ++p) {
        const std::int64_t j = pairs.j[p];
        const bool inside = square[p] < limit[p];
        double f = 0.0, df = 0.0;  // 1 - f_s and its derivative by r^2
        if (square[p] < task.outer * task.outer) {
            const double r = std::sqrt(square[p]), width = task.outer - task.inner;
            f = 1.0;
            if (r > task.inner) {
                unscreened(task.core, (r - task.inner) / width, f, df);
                df /= 2.0 * r * width;
            }
        }
        const double a = inside ? pairs.value[p] - pairs.far[p] : 0.0, b = -f * pairs.value[p];
        const double slope_a = inside ? pairs.slope[p] - pairs.far_slope[p] : 0.0;
        if (task.A) {
            task.A[i * n_atoms + j] += a;
            task.B[i * n_atoms + j] += b;
        } else if (task.sparse_A) {
            if (inside) append(*task.sparse_A, pairs.j[p], a);
            if (f != 0.0) append(*task.sparse_B, pairs.j[p], b);
        } else if (task.product_A) {
            task.product_A[i] += a * task.right[j], task.product_B[i] += b * task.right[j];
            if (i == j) continue;
            task.product_A[j] += a * task.right[i], task.product_B[j] += b * task.right[i];
        } else if (task.slopes) {  // dA/dr_j and dA/d(strain), or those of A + B
            const double slope_b = task.screened ? -(f * pairs.slope[p] + df * pairs.value[p]) : 0.0;
            const double s = 2.0 * (slope_a + slope_b), x = pairs.x[p], y = pairs.y[p], z = pairs.z[p];
            const double parts[] = {x, y, z, x * x, y * y, z * z, y * z, x * z, x * y};
            for (int part = 0; part < 9; ++part)
                task.slopes[(part * n_atoms + i) * n_atoms + j] += s * parts[part];
        } else {
            pairs.far_slope[p] = slope_a;
            pairs.far[p] = f * pairs.slope[p] + df * pairs.value[p];
        }
    }
    if (task.forces) add_forces(task, i, pairs);
    pairs.n = 0;
}

static void listed_charges(const ChargeTask& task, const SmearedTable& table) {
    ChargePairs pairs(0);
    const std::int32_t* neighbor = task.neighbors;
    const double* vector = task.vectors;
    for (std::int64_t i = task.first; i < task.last; ++i) {
        for (std::int64_t k = 0; k < task.counts[i - task.first]; ++k, ++neighbor, vector += 3) {
            if (*neighbor < i) continue;
            const double square = vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2];
            const PairWidths widths(task, i, *neighbor);
            if (square >= std::max(widths.limit, task.outer * task.outer)) continue;
            add_pair(vector[0], vector[1], vector[2], *neighbor, widths, pairs);
            if (pairs.n >= ChargePairs::block) sum_pairs_of(task, table, i, pairs);
        }
        sum_pairs_of(task, table, i, pairs);
        if (!task.sparse_A) continue;
        task.ends_A[i - task.first] = task.sparse_A->n;
        task.ends_B[i - task.first] = task.sparse_B->n;
    }
}

static void charges(const ChargeTask& task) {
    static const SmearedTable table;
    if (task.counts) return listed_charges(task, table);
    const double reach = std::max(task.cutoff, task.outer);
    ChargePairs pairs(task.n_images);
    for (std::int64_t i = task.first; i < task.n_atoms; i += task.step) {
        for (std::int64_t j = i; j < task.n_atoms; ++j) {
            add_pairs(task, i, j, reach, pairs);
            if (pairs.n >= ChargePairs::block) sum_pairs_of(task, table, i, pairs);
        }
        sum_pairs_of(task, table, i, pairs);
    }
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

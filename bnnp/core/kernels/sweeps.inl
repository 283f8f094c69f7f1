// The four sweeps over the neighbors of one atom after the other.
//
// Geometry of a pair of neighbors j, k: with s = D_j . D_k, cos theta = s / (r_j r_k) and
// r_jk^2 = r_j^2 + r_k^2 - 2 s everything is a function of (r_j, r_k, s), so a derivative needs three numbers
// a triple: P = E_rj / r_j, Q = E_rk / r_k, S = E_s, and then dE/dD_j = P D_j + S D_k,
// dE/dD_k = Q D_k + S D_j.
// Triples are collected in blocks that stay in the first-level cache; all loops over a block are SIMD.
//
// The radial part of a triple comes in three ways:
//
//   centered Gaussians   exp[-eta (r_j^2 + r_k^2 + r_jk^2)], one exponential a group, times three cutoff
//                        functions, whose product is the same for all groups (types 3, 13 without shift)
//   wide                 a(r_j) a(r_k), along rows of the factors, which are computed once a neighbor
//                        (types 9, 22, 25; where moments.inl does not spare the triples)
//   all others           a(r_j) a(r_k) b(r_jk), the factors looked up
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/angular.inl"
#include "kernels/moments.inl"
#include "kernels/neighborhood.inl"
#include "kernels/tasks.hpp"
#include "plan/symmetry_functions.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

// Up to so many neighbors triples take less time than moments.
constexpr int few_neighbors = 8;

template <typename T>
class Kernel {
  public:
    Kernel(const Plan& plan, const PairList& pairs, const Task& task)
        : plan(plan), pairs(pairs), task(task) {}

    void run(Range centers) {
        for (std::int64_t i = centers.begin; i < centers.end; ++i) atom(i);
    }

  private:
    const Plan& plan;
    const PairList& pairs;
    const Task& task;
    Gatherer<T> gatherer;
    Neighborhood<T>& hood = gatherer.hood;
    Block<T>& block = gatherer.block;
    MomentKernel<T> moment_kernel{gatherer.hood};
    const ElementPlan* element = nullptr;
    const double* weights = nullptr;  // vjp: dE/dG of this atom
    double* G = nullptr;              // values, jvp
    T* jacobian = nullptr;            // [column][x y z][neighbor]
    Buffer<T> factor_memory, jacobian_memory;

    void atom(std::int64_t i) {
        element = &plan.elements[pairs.types[i]];
        if (task.G) {
            G = task.G + i * plan.width;
            for (int c = 0; c < plan.width; ++c) G[c] = 0.0;
        }
        if (task.dE_dG) weights = task.dE_dG + i * plan.width;
        gatherer.gather(plan, pairs, task, i);
        if (task.sweep == Sweep::jacobian) {
            const std::size_t size = std::size_t(element->n_functions) * 3 * hood.n;
            jacobian = jacobian_memory.get(size + 64);
            std::memset(jacobian, 0, size * sizeof(T));
        }
        if (hood.n > 0) {
            switch (task.sweep) {
                case Sweep::values: sweep<Sweep::values>(); break;
                case Sweep::vjp: sweep<Sweep::vjp>(); break;
                case Sweep::jvp: sweep<Sweep::jvp>(); break;
                case Sweep::jacobian: sweep<Sweep::jacobian>(); break;
            }
        }
        if (task.sweep == Sweep::vjp) store_vjp(i);
        if (task.sweep == Sweep::jacobian) {
            if (task.blocks_double) store_jacobian(i, static_cast<double*>(task.blocks));
            else store_jacobian(i, static_cast<float*>(task.blocks));
        }
    }

    void range(int neighbor, int& begin, int& end) const {
        begin = neighbor < 0 ? 0 : hood.bucket[neighbor];
        end = neighbor < 0 ? hood.n : hood.bucket[neighbor + 1];  // with the gap
    }

    template <Sweep S>
    void sweep() {
        for (const RadialFunction& function : element->radial) radial<S>(function);
        const bool summed = !element->moments.factors.empty() && hood.count > few_neighbors;
        if (summed) moments<S>();
        for (const AngularBundle& bundle : element->bundles)
            if (!summed || !bundle.separable) angular<S>(bundle);
    }

    // a and a'/r of the neighbors [begin, end).
    void factor(const RadialFactor& f, int begin, int end, Curve<T> a) {
        const Curve<T> envelope = hood.envelope(f.envelope);
        radial_factor(f, hood.square + begin, envelope.from(begin), a.from(begin), end - begin);
    }

    template <Sweep S>
    void radial(const RadialFunction& function) {
        int begin, end;
        range(function.neighbor, begin, end);
        if (begin == end) return;
        T* a = factor_memory.get(std::size_t(hood.stride) * 2);
        T* slope = a + hood.stride;
        factor(function.factor, begin, end, {a, slope});
        if constexpr (S == Sweep::values) {
            T total = 0;
#pragma omp simd reduction(+ : total)
            for (int m = begin; m < end; ++m) total += a[m];
            G[function.column] = double(total);
        } else if constexpr (S == Sweep::vjp) {
            const T weight = T(weights[function.column]);
#pragma GCC ivdep
            for (int m = begin; m < end; ++m) hood.slope[m] += weight * slope[m];
        } else if constexpr (S == Sweep::jvp) {
            T total = 0;
#pragma omp simd reduction(+ : total)
            for (int m = begin; m < end; ++m) total += slope[m] * hood.tangent[m];
            G[function.column] = double(total);
        } else {
            T* row = jacobian + std::size_t(function.column) * 3 * hood.n;
            for (int m = begin; m < end; ++m) {
                row[m] = slope[m] * hood.x[m];
                row[hood.n + m] = slope[m] * hood.y[m];
                row[2 * hood.n + m] = slope[m] * hood.z[m];
            }
        }
    }

    template <Sweep S>
    void moments() {
        moment_kernel.template prepare<S>(*element, int(plan.elements.size()));
        if constexpr (S == Sweep::vjp) moment_kernel.reverse(weights);
        else if constexpr (S == Sweep::jacobian) moment_kernel.jacobian(jacobian);
        else moment_kernel.template forward<S>(G);
    }

    // Collects the triples of a bundle and works through them in blocks.
    template <Sweep S>
    void angular(const AngularBundle& bundle) {
        int begin1, end1, begin2, end2;
        range(bundle.neighbor1, begin1, end1);
        range(bundle.neighbor2, begin2, end2);
        const bool same = bundle.neighbor1 == bundle.neighbor2;
        if (begin1 == end1 || begin2 == end2) return;
        T* factors = nullptr;
        if (!gaussians(bundle)) {
            factors = factor_memory.get(std::size_t(hood.stride) * 2 * bundle.groups.size());
            for (std::size_t g = 0; g < bundle.groups.size(); ++g) {
                factor(bundle.groups[g].factor, begin1, end1, factor_of(factors, g));
                if (!same) factor(bundle.groups[g].factor, begin2, end2, factor_of(factors, g));
            }
        }
        gatherer.prepare_block(end2 - begin2, int(bundle.angles.size()));
        if (gaussians(bundle)) collect<S, true>(bundle, factors, begin1, end1, begin2, end2);
        else collect<S, false>(bundle, factors, begin1, end1, begin2, end2);
    }

    // a and a'/r of a group within the factors of its bundle.
    Curve<T> factor_of(T* factors, std::size_t group) const {
        T* a = factors + std::size_t(hood.stride) * 2 * group;
        return {a, a + hood.stride};
    }

    template <Sweep S, bool GAUSSIANS>
    void collect(const AngularBundle& bundle, T* factors, int begin1, int end1, int begin2, int end2) {
        const Curve<T> envelope = hood.envelope(bundle.groups[0].factor.envelope);
        const bool same = bundle.neighbor1 == bundle.neighbor2;
        const T reach = T(bundle.radius * bundle.radius);
        const T limit = bundle.narrow ? reach : std::numeric_limits<T>::max();  // wide rows stay whole
        for (int j = begin1; j < end1; ++j) {
            if (hood.square[j] >= reach) continue;
            gatherer.template collect<S, GAUSSIANS>(j, same ? j + 1 : begin2, end2, limit, envelope);
            if (block.n >= block_size) process<S>(bundle, factors);
        }
        if (block.n > 0) process<S>(bundle, factors);
    }

    static bool gaussians(const AngularBundle& bundle) { return bundle.narrow && bundle.centered_gaussians; }

    template <Sweep S>
    void process(const AngularBundle& bundle, T* factors) {
        const int n = gatherer.close_block();
        angles<S != Sweep::values>(bundle, n);
        if constexpr (S == Sweep::jvp) tangents(n);
        if (gaussians(bundle)) cutoff_product<S != Sweep::values>(bundle, n);
        if constexpr (S == Sweep::vjp) {
            if (gaussians(bundle)) reverse_gaussians(bundle, n);
            else reverse(bundle, factors, n);
            pull_back(n);
            scatter<1>(&block.e_j, &block.e_k, &block.e_c, &hood.gx, hood.stride);
        } else {
            for (std::size_t g = 0; g < bundle.groups.size(); ++g) {
                radial_part<S>(bundle, int(g), factors, n);
                forward<S>(bundle.groups[g], n);
            }
        }
        block.n = block.rows = 0;
    }

    // p and dp/dcos of all distinct angles of the bundle.
    template <bool DERIVATIVE>
    void angles(const AngularBundle& bundle, int n) {
        for (int t = 0; t < n; ++t) block.c[t] = minimum(maximum(block.c[t], T(-1)), T(1));
        for (const Angle& angle : bundle.angles)
            if (angle.kind != AngleKind::power) {
                angles_of_cosines(block.c, block.theta, n);
                break;
            }
        for (std::size_t a = 0; a < bundle.angles.size(); ++a)
            angular_factor<DERIVATIVE>(bundle.angles[a], block.c, block.theta, block.angle(int(a)), n);
    }

    // From ds = d(D_j . D_k), which collect() left in tangent_jk, to the tangents of cos theta and of
    // D_jk^2 / 2.
    void tangents(int n) {
#pragma GCC ivdep
        for (int t = 0; t < n; ++t) {
            const T ds = block.tangent_jk[t], tj = block.tangent_j[t], tk = block.tangent_k[t];
            const T inv_j = block.inverse_j[t], inv_k = block.inverse_k[t];
            block.tc[t] = ds * inv_j * inv_k - block.c[t] * (tj * inv_j * inv_j + tk * inv_k * inv_k);
            block.tangent_jk[t] = tj + tk - ds;
        }
    }

    // Centered Gaussians: multiplies fc_jk into the product of fc_j and fc_k and its derivatives.
    template <bool DERIVATIVE>
    void cutoff_product(const AngularBundle& bundle, int n) {
        const CutoffFunction& cutoff = element->envelopes[bundle.groups[0].factor.envelope].cutoff;
        cutoff_function<DERIVATIVE>(cutoff, block.square, block.b, n);
#pragma GCC ivdep
        for (int t = 0; t < n; ++t) {
            const T both = block.F[t], fc = block.b.value[t];
            block.F[t] = both * fc;
            if constexpr (DERIVATIVE) {
                block.F_j[t] *= fc;
                block.F_k[t] *= fc;
                block.F_jk[t] = both * block.b.slope[t];
            }
        }
    }

    // R and, for derivatives, R_j, R_k, R_jk of a group.
    template <Sweep S>
    void radial_part(const AngularBundle& bundle, int group, T* factors, int n) {
        constexpr bool derivative = S != Sweep::values;
        const Curve<T> a = factor_of(factors, group);
        if (gaussians(bundle)) gaussian_part<derivative>(bundle.groups[group].factor, n);
        else if (bundle.narrow) looked_up<derivative>(bundle.groups[group].factor, a, n);
        else along_rows<derivative>(a, n);
        if (derivative && !bundle.narrow && S != Sweep::vjp)
            std::memset(block.R_jk, 0, sizeof(T) * std::size_t(n));
    }

    template <bool DERIVATIVE>
    void gaussian_part(const RadialFactor& f, int n) {
        const T eta = T(f.eta);
#pragma GCC ivdep
        for (int t = 0; t < n; ++t) {
            const T e = exponential(-eta * block.exponent[t]), shift = T(2) * eta * block.F[t];
            block.R[t] = block.F[t] * e;
            if constexpr (DERIVATIVE) {
                block.R_j[t] = (block.F_j[t] - shift) * e;
                block.R_k[t] = (block.F_k[t] - shift) * e;
                block.R_jk[t] = (block.F_jk[t] - shift) * e;
            }
        }
    }

    template <bool DERIVATIVE>
    void along_rows(Curve<T> a, int n) {
        for (int row = 0; row < block.rows; ++row) {
            const int start = block.row_start[row], end = block.row_start[row + 1], j = block.row_j[row];
            const int shift = block.k[start] - start;  // wide rows have no holes
            for (int t = start; t < end; t += lanes<T>) {
                const Pack<T> a_k = load(a.value + shift + t);
                store(block.R + t, a.value[j] * a_k);
                if constexpr (DERIVATIVE) {
                    store(block.R_j + t, a.slope[j] * a_k);
                    store(block.R_k + t, a.value[j] * load(a.slope + shift + t));
                }
            }
        }
        for (int t = block.n; t < n; ++t) block.R[t] = block.R_j[t] = block.R_k[t] = T(0);
    }

    template <bool DERIVATIVE>
    void looked_up(RadialFactor f, Curve<T> a, int n) {
        const Envelope& envelope = element->envelopes[f.envelope];
        // In n2p2 asymmetric functions of type 21 act on r_ij and r_ik alone, those of type 24 on r_jk too.
        if (!envelope.weighted) f.asymmetric = false;
        cutoff_function<true>(envelope.cutoff, block.square, {block.F, block.F_jk}, n);
        radial_factor(f, block.square, {block.F, block.F_jk}, block.b, n);
        for (int row = 0; row < block.rows; ++row) {
            const int end = block.row_start[row + 1];
            const T a_j = a.value[block.row_j[row]], slope_j = a.slope[block.row_j[row]];
#pragma GCC ivdep
            for (int t = block.row_start[row]; t < end; ++t) {
                const int k = block.k[t];
                const T ab = a_j * block.b.value[t];
                block.R[t] = ab * a.value[k];
                if constexpr (DERIVATIVE) {
                    block.R_j[t] = slope_j * block.b.value[t] * a.value[k];
                    block.R_k[t] = ab * a.slope[k];
                    block.R_jk[t] = a_j * a.value[k] * block.b.slope[t];
                }
            }
        }
        for (int t = block.n; t < n; ++t) block.R[t] = block.R_j[t] = block.R_k[t] = block.R_jk[t] = T(0);
    }

    // values, jvp, jacobian: the members of one group.
    template <Sweep S>
    void forward(const AngularGroup& group, int n) {
        if constexpr (S == Sweep::values) {
            add_products(group, block.R, block.angles.value, n);
        } else if constexpr (S == Sweep::jvp) {
#pragma GCC ivdep
            for (int t = 0; t < n; ++t) {
                block.A[t] = block.R_j[t] * block.tangent_j[t] + block.R_k[t] * block.tangent_k[t] +
                             block.R_jk[t] * block.tangent_jk[t];
                block.B[t] = block.R[t] * block.tc[t];
            }
            add_products(group, block.A, block.angles.value, n);
            add_products(group, block.B, block.angles.slope, n);
        } else {
            const AngularMember* m = group.members.data();
            int left = int(group.members.size());
            for (; left >= 2; left -= 2, m += 2) differentiate<2>(m, n);
            if (left == 1) differentiate<1>(m, n);
        }
    }

    // jacobian of N members of a group.
    template <int N>
    void differentiate(const AngularMember* members, int n) {
        T* const P[] = {block.e_j, block.A};
        T* const Q[] = {block.e_k, block.B};
        T* const S[] = {block.e_c, block.S};
        T* gradients[N];
        for (int m = 0; m < N; ++m) {
            const Curve<T> angle = block.angle(members[m].angle);
            T *e_j = P[m], *e_k = Q[m], *e_c = S[m];
#pragma GCC ivdep
            for (int t = 0; t < n; ++t) {
                const T p = angle.value[t];
                const Pulled e = pull_back(
                    t, {angle.slope[t] * block.R[t], p * block.R_j[t], p * block.R_k[t], p * block.R_jk[t]});
                e_j[t] = e.P, e_k[t] = e.Q, e_c[t] = e.S;
            }
            gradients[m] = jacobian + std::size_t(members[m].column) * 3 * hood.n;
        }
        scatter<N>(P, Q, S, gradients, hood.n);
    }

    // Adds sum_t R[t] angle_m[t] to the G of every member m; four of them at a time read R once.
    void add_products(const AngularGroup& group, const T* R, const T* angle, int n) {
        const AngularMember* m = group.members.data();
        int left = int(group.members.size());
        for (; left >= 4; left -= 4, m += 4) add_products<4>(m, R, angle, n);
        if (left == 3) add_products<3>(m, R, angle, n);
        if (left == 2) add_products<2>(m, R, angle, n);
        if (left == 1) add_products<1>(m, R, angle, n);
    }

    template <int N>
    void add_products(const AngularMember* members, const T* R, const T* angle, int n) {
        const T* rows[N];
        Pack<T> sums[N];
        for (int m = 0; m < N; ++m) {
            rows[m] = angle + std::size_t(members[m].angle) * block.capacity;
            sums[m] = Pack<T>{};
        }
        for (int t = 0; t < n; t += lanes<T>) {
            const Pack<T> r = load(R + t);
            for (int m = 0; m < N; ++m) sums[m] += r * load(rows[m] + t);
        }
        for (int m = 0; m < N; ++m) G[members[m].column] += double(sum(sums[m]));
    }

    // vjp: A = sum over the members of weight times p, B the same of dp.
    void weigh(const AngularGroup& group, int n) {
        const AngularMember* m = group.members.data();
        int left = int(group.members.size());
        bool first = true;
        for (; left >= 4; left -= 4, m += 4, first = false) weigh<4>(m, first, n);
        if (left == 3) weigh<3>(m, first, n);
        if (left == 2) weigh<2>(m, first, n);
        if (left == 1) weigh<1>(m, first, n);
    }

    template <int N>
    void weigh(const AngularMember* members, bool first, int n) {
        Curve<T> angles[N];
        T weight[N];
        for (int m = 0; m < N; ++m) {
            angles[m] = block.angle(members[m].angle);
            weight[m] = T(weights[members[m].column]);
        }
        for (int t = 0; t < n; t += lanes<T>) {
            Pack<T> a = first ? Pack<T>{} : load(block.A + t), b = first ? Pack<T>{} : load(block.B + t);
            for (int m = 0; m < N; ++m) {
                a += weight[m] * load(angles[m].value + t);
                b += weight[m] * load(angles[m].slope + t);
            }
            store(block.A + t, a);
            store(block.B + t, b);
        }
    }

    void reverse(const AngularBundle& bundle, T* factors, int n) {
        T* sums[] = {block.e_c, block.e_j, block.e_k, block.e_jk};
        for (T* array : sums) std::memset(array, 0, sizeof(T) * std::size_t(n));
        for (std::size_t g = 0; g < bundle.groups.size(); ++g) {
            radial_part<Sweep::vjp>(bundle, int(g), factors, n);
            weigh(bundle.groups[g], n);
#pragma GCC ivdep
            for (int t = 0; t < n; ++t) {
                block.e_c[t] += block.B[t] * block.R[t];
                block.e_j[t] += block.A[t] * block.R_j[t];
                block.e_k[t] += block.A[t] * block.R_k[t];
            }
            if (!bundle.narrow) continue;
#pragma GCC ivdep
            for (int t = 0; t < n; ++t) block.e_jk[t] += block.A[t] * block.R_jk[t];
        }
    }

    // The groups differ in eta alone: three sums over groups, then one pass for all derivatives.
    void reverse_gaussians(const AngularBundle& bundle, int n) {
        T* sums[] = {block.S, block.S_eta, block.e_c};
        for (T* array : sums) std::memset(array, 0, sizeof(T) * std::size_t(n));
        for (const AngularGroup& group : bundle.groups) {
            weigh(group, n);
            const T eta = T(group.factor.eta);
#pragma GCC ivdep
            for (int t = 0; t < n; ++t) {
                const T e = exponential(-eta * block.exponent[t]), ae = block.A[t] * e;
                block.S[t] += ae;
                block.S_eta[t] += eta * ae;
                block.e_c[t] += block.B[t] * e;
            }
        }
#pragma GCC ivdep
        for (int t = 0; t < n; ++t) {
            const T S = block.S[t], shift = T(2) * block.F[t] * block.S_eta[t];
            block.e_c[t] *= block.F[t];
            block.e_j[t] = block.F_j[t] * S - shift;
            block.e_k[t] = block.F_k[t] * S - shift;
            block.e_jk[t] = block.F_jk[t] * S - shift;
        }
    }

    // Derivatives of a triple: dE/dcos and (dE/dr) / r of the three distances.
    struct Slopes {
        T c, j, k, jk;
    };
    // dE/dD_j = P D_j + S D_k, dE/dD_k = Q D_k + S D_j
    struct Pulled {
        T P, Q, S;
    };

    Pulled pull_back(int t, Slopes e) const {
        const T inv_j = block.inverse_j[t], inv_k = block.inverse_k[t], radial = e.c * block.c[t];
        return {e.j + (e.jk - radial * inv_j * inv_j), e.k + (e.jk - radial * inv_k * inv_k),
                e.c * inv_j * inv_k - e.jk};
    }

    void pull_back(int n) {
#pragma GCC ivdep
        for (int t = 0; t < n; ++t) {
            const Pulled e = pull_back(t, {block.e_c[t], block.e_j[t], block.e_k[t], block.e_jk[t]});
            block.e_j[t] = e.P, block.e_k[t] = e.Q, block.e_c[t] = e.S;
        }
    }

    // Adds dE/dD of the block's triples to the neighbors, for N functions E: gradients[m] is (3, ..) with
    // `row` numbers for x, for y and for z.
    template <int N>
    void scatter(T* const* P, T* const* Q, T* const* S, T* const* gradients, std::ptrdiff_t row) {
        for (int r = 0; r < block.rows; ++r) {
            const int j = block.row_j[r];
            const T xj = hood.x[j], yj = hood.y[j], zj = hood.z[j];
            Pack<T> p[N]{}, sx[N]{}, sy[N]{}, sz[N]{};
            int t = block.row_start[r], k = block.row_k[r];
            for (int number = block.row_mask[r]; number < block.row_mask[r + 1]; ++number, k += lanes<T>) {
                const Lanes<T> chosen(block.masks[number]);
                const Pack<T> x = load(hood.x + k), y = load(hood.y + k), z = load(hood.z + k);
                for (int m = 0; m < N; ++m) {
                    const Pack<T> q = chosen.unpack(Q[m] + t), s = chosen.unpack(S[m] + t);
                    T *gx = gradients[m] + k, *gy = gx + row, *gz = gy + row;
                    p[m] += chosen.unpack(P[m] + t);
                    store(gx, load(gx) + q * x + s * xj);
                    store(gy, load(gy) + q * y + s * yj);
                    store(gz, load(gz) + q * z + s * zj);
                    sx[m] += s * x;
                    sy[m] += s * y;
                    sz[m] += s * z;
                }
                t += __builtin_popcount(block.masks[number]);
            }
            for (int m = 0; m < N; ++m) {
                const T own = sum(p[m]);
                T* g = gradients[m] + j;
                g[0] += own * xj + sum(sx[m]);
                g[row] += own * yj + sum(sy[m]);
                g[2 * row] += own * zj + sum(sz[m]);
            }
        }
    }

    void store_vjp(std::int64_t i) {
        const std::int64_t first = pairs.first[i];
        std::memset(task.dE_dD + 3 * first, 0, sizeof(double) * 3 * std::size_t(pairs.first[i + 1] - first));
        for (int m = 0; m < hood.n; ++m) {
            if (hood.pair[m] < 0) continue;
            double* out = task.dE_dD + 3 * (first + hood.pair[m]);
            out[0] = double(hood.gx[m] + hood.slope[m] * hood.x[m]);
            out[1] = double(hood.gy[m] + hood.slope[m] * hood.y[m]);
            out[2] = double(hood.gz[m] + hood.slope[m] * hood.z[m]);
        }
    }

    // Block of a pair: (3, n_sensitive), only the functions that can feel the neighbor's element.
    template <typename Out>
    void store_jacobian(std::int64_t i, Out* blocks) {
        const std::int64_t first = pairs.first[i];
        for (std::int64_t p = first; p < pairs.first[i + 1]; ++p)
            std::fill(blocks + task.block_offsets[p], blocks + task.block_offsets[p + 1], Out(0));
        for (std::size_t e = 0; e + 1 <= plan.elements.size(); ++e) {
            const auto& columns = element->sensitive[e];
            const int n_columns = int(columns.size());
            for (int m = hood.bucket[e]; m < hood.bucket[e + 1]; ++m) {
                if (hood.pair[m] < 0) continue;
                Out* out = blocks + task.block_offsets[first + hood.pair[m]];
                for (int s = 0; s < n_columns; ++s) {
                    const T* row = jacobian + std::size_t(columns[s]) * 3 * hood.n + m;
                    for (int c = 0; c < 3; ++c) out[c * n_columns + s] = Out(row[std::size_t(c) * hood.n]);
                }
            }
        }
    }
};

static void symmetry_functions(const Plan& plan, const PairList& pairs, const Task& task, bool single,
                               Range centers) {
    if (single) Kernel<float>(plan, pairs, task).run(centers);
    else Kernel<double>(plan, pairs, task).run(centers);
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

// Angular functions without r_jk and with a small integer zeta (plan/symmetry_functions.hpp, Moments), at a
// cost that is linear in the number of neighbors: no triples.
//
// With unit vectors u = D / r and the monomials phi_abc(u) = x^a y^b z^c / (a! b! c!),
//
//     (u . u')^n = sum_(a+b+c=n) n! a! b! c! phi_abc(u) phi_abc(u')
//
// and so, for a radial factor f and the neighbors j of one element and k of another,
//
//     S_n = sum_jk f_j f_k cos^n theta_jk = sum_abc n! a! b! c! M_abc M'_abc,   M_abc = sum_j f_j
//     phi_abc(u_j)
//
// If the elements are the same, the pairs j < k are half of what is left without the terms j = k, sum_j
// f_j^2. Every function is a combination of S_0 ... S_zeta. Derivatives follow from d phi_abc / dx =
// phi_(a-1)bc.
//
// The monomials of degree n begin at first_of(n), abc comes s (s + 1) / 2 + c behind, where s = b + c. One
// more factor x, y, z leads to the same place among those of degree n + 1, and to s + 1 and s + 2 places
// behind it.
#pragma once

#include <cstddef>
#include <cstring>

#include "kernels/radial.inl"
#include "kernels/tasks.hpp"
#include "kernels/workspace.inl"
#include "plan/symmetry_functions.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

template <typename T>
class MomentKernel {
  public:
    explicit MomentKernel(const Neighborhood<T>& hood) : hood(hood) {}

    // Radial factors, monomials and moments of the neighbors of an atom, and for jvp their tangents.
    template <Sweep S>
    void prepare(const ElementPlan& element, int elements) {
        plan = &element.moments;
        degree = plan->degree, size = first_of(degree + 1), n_elements = elements;
        n_factors = int(plan->factors.size()), row = whole<T>(n_factors);
        allocate(S == Sweep::jvp);
        for (int g = 0; g < n_factors; ++g) {
            const RadialFactor& f = plan->factors[g];
            radial_factor(f, hood.square, hood.envelope(f.envelope), factor(g), hood.n);
        }
        monomials();
        for (int g = 0; g < n_factors; ++g)
            for (int m = 0; m < hood.n; ++m) f_rows[m * row + g] = factor(g).value[m];
        add_moments(f_rows, phi, M);
        if constexpr (S == Sweep::jvp) {
            tangents();
            for (int g = 0; g < n_factors; ++g)
                for (int m = 0; m < hood.n; ++m) df_rows[m * row + g] = factor(g).slope[m] * hood.tangent[m];
            add_moments(df_rows, phi, dM);
            add_moments(f_rows, dphi, dM);
        }
    }

    // Writes the functions, or for jvp their tangents.
    template <Sweep S>
    void forward(double* G) {
        for (const MomentPair& pair : plan->pairs) {
            power_sums<S>(pair);
            for (const MomentMember& member : pair.members) {
                double total = 0.0;
                for (std::size_t n = 0; n < member.powers.size(); ++n)
                    total += member.powers[n] * double(S_n[n * row + member.factor]);
                G[member.column] = total;
            }
        }
    }

    // Adds dE/dD to the gradients and slopes of the neighborhood.
    void reverse(const double* weights) {
        const std::size_t block = std::size_t(size) * row;
        std::memset(dM, 0, sizeof(T) * n_elements * block);
        std::memset(own, 0, sizeof(T) * std::size_t(n_elements) * row);
        for (const MomentPair& pair : plan->pairs) {
            std::memset(S_n, 0, sizeof(T) * std::size_t(degree + 1) * row);
            for (const MomentMember& member : pair.members)
                for (std::size_t n = 0; n < member.powers.size(); ++n)
                    S_n[n * row + member.factor] += T(weights[member.column] * member.powers[n]);
            const bool same = pair.neighbor1 == pair.neighbor2;
            pull_moments(M + pair.neighbor2 * block, dM + pair.neighbor1 * block);
            if (!same) pull_moments(M + pair.neighbor1 * block, dM + pair.neighbor2 * block);
            for (int i = 0; same && i < (degree + 1) * row; ++i)
                own[pair.neighbor1 * row + i % row] += S_n[i];
        }
        for (int e = 0; e < n_elements; ++e)
            for (int m = hood.bucket[e]; m < hood.bucket[e + 1]; m += lanes<T>) pull_register(e, m);
    }

    // dG/dD of every function, as the kernel of all sweeps keeps them: [column][x y z][neighbor].
    void jacobian(T* rows) {
        for (const MomentPair& pair : plan->pairs) {
            differentiate(pair, pair.neighbor1, pair.neighbor2, rows);
            if (pair.neighbor1 != pair.neighbor2) differentiate(pair, pair.neighbor2, pair.neighbor1, rows);
        }
    }

  private:
    const Neighborhood<T>& hood;
    const Moments* plan = nullptr;
    int degree = 0, size = 0, n_factors = 0, row = 0, n_elements = 0;
    Buffer<T> memory;
    T *phi, *dphi;        // (size, stride): monomials and their tangents
    T* factors;           // (n_factors, 2, stride): f and f'/r
    T *f_rows, *df_rows;  // (neighbors, row): f and its tangent
    T *M, *dM;            // (n_elements, size, row): moments and their tangents, or dE/dM
    T* own;               // (n_elements, row): what the terms j = k have too much, dE/d(f_j^2 / 2)
    T* S_n;               // (degree + 1, row): power sums, their tangents, or dE/dS
    T* P;                 // (size, lanes): dE/dphi
    T* V;                 // (degree + 1, 3, lanes): dS/dD

    static constexpr int first_of(int n) { return n * (n + 1) * (n + 2) / 6; }

    Curve<T> factor(int g) const {
        T* value = factors + std::size_t(g) * 2 * hood.stride;
        return {value, value + hood.stride};
    }

    void allocate(bool tangents) {
        const std::size_t stride = hood.stride, moments = std::size_t(n_elements) * size * row;
        const std::size_t lengths[] = {size * stride,
                                       tangents ? size * stride : 0,
                                       2 * n_factors * stride,
                                       row * stride,
                                       tangents ? row * stride : 0,
                                       moments,
                                       moments,
                                       std::size_t(n_elements) * row,
                                       std::size_t(degree + 1) * row,
                                       std::size_t(size) * lanes<T>,
                                       std::size_t(degree + 1) * 3 * lanes<T>};
        T** arrays[] = {&phi, &dphi, &factors, &f_rows, &df_rows, &M, &dM, &own, &S_n, &P, &V};
        std::size_t total = 0;
        for (const std::size_t length : lengths) total += length;
        T* next = memory.get(total);
        for (int i = 0; i < int(sizeof(lengths) / sizeof(lengths[0])); ++i) {
            *arrays[i] = next;
            next += lengths[i];
        }
        std::memset(f_rows, 0, sizeof(T) * lengths[3]);
        std::memset(df_rows, 0, sizeof(T) * lengths[4]);
        std::memset(M, 0, sizeof(T) * 2 * moments);
    }

    // Calls work(i, s) for the monomials of degree n; i counts them.
    template <typename Work>
    static void over_degree(int n, Work work) {
        for (int s = 0, i = 0; s <= n; ++s)
            for (int c = 0; c <= s; ++c, ++i) work(i, s);
    }

    void monomials() {
        for (int m = 0; m < hood.n; ++m) phi[m] = T(1);
        const auto multiply = [&](int from, int to, const T* x, int power) {
            const T *in = phi + std::size_t(from) * hood.stride, scale = T(1) / T(power);
            T* out = phi + std::size_t(to) * hood.stride;
#pragma GCC ivdep
            for (int m = 0; m < hood.n; ++m) out[m] = in[m] * (x[m] * hood.inverse[m] * scale);
        };
        for (int n = 0; n < degree; ++n) {
            const int lower = first_of(n), upper = first_of(n + 1);
            over_degree(n, [&](int i, int s) { multiply(lower + i, upper + i, hood.x, n - s + 1); });
            const int last = n * (n + 1) / 2;  // those without x
            for (int c = 0; c <= n; ++c)
                multiply(lower + last + c, upper + last + n + 1 + c, hood.y, n - c + 1);
            multiply(lower + last + n, upper + last + 2 * n + 2, hood.z, n + 1);
        }
    }

    // Tangents of the monomials, with du = [dD - u (u . dD)] / r.
    void tangents() {
        const int stride = hood.stride;
        std::memset(dphi, 0, sizeof(T) * std::size_t(size) * stride);
        for (int m = 0; m < hood.n; m += lanes<T>) {
            const Pack<T> inverse = load(hood.inverse + m),
                          along = load(hood.tangent + m) * inverse * inverse;
            const Pack<T> dx = (load(hood.tx + m) - load(hood.x + m) * along) * inverse;
            const Pack<T> dy = (load(hood.ty + m) - load(hood.y + m) * along) * inverse;
            const Pack<T> dz = (load(hood.tz + m) - load(hood.z + m) * along) * inverse;
            const auto add = [&](int p, Pack<T> term) {
                T* out = dphi + std::size_t(p) * stride + m;
                store(out, load(out) + term);
            };
            for (int n = 0; n < degree; ++n)
                over_degree(n, [&](int i, int s) {
                    const Pack<T> lower = load(phi + std::size_t(first_of(n) + i) * stride + m);
                    const int upper = first_of(n + 1) + i;
                    add(upper, lower * dx);
                    add(upper + s + 1, lower * dy);
                    add(upper + s + 2, lower * dz);
                });
        }
    }

    // moments += sum_j rows_j basis_j of each element
    void add_moments(const T* rows, const T* basis, T* moments) const {
        for (int e = 0; e < n_elements; ++e)
            for (int g = 0; g < row; g += lanes<T>) {
                T* out = moments + std::size_t(e) * size * row + g;
                int p = 0;
                for (; p + 8 <= size; p += 8) add_moments<8>(e, rows + g, basis, p, out);
                for (; p + 4 <= size; p += 4) add_moments<4>(e, rows + g, basis, p, out);
                for (; p < size; ++p) add_moments<1>(e, rows + g, basis, p, out);
            }
    }

    template <int N>
    void add_moments(int e, const T* rows, const T* basis, int p, T* moments) const {
        Pack<T> sums[N];
        for (int i = 0; i < N; ++i) sums[i] = load(moments + std::size_t(p + i) * row);
        for (int m = hood.bucket[e]; m < hood.bucket[e + 1]; ++m) {
            const Pack<T> f = load(rows + std::size_t(m) * row);
            for (int i = 0; i < N; ++i) sums[i] += f * basis[std::size_t(p + i) * hood.stride + m];
        }
        for (int i = 0; i < N; ++i) store(moments + std::size_t(p + i) * row, sums[i]);
    }

    // S_0 ... of a pair of elements for all factors, or for jvp their tangents.
    template <Sweep S>
    void power_sums(const MomentPair& pair) {
        const std::size_t block = std::size_t(size) * row;
        const bool same = pair.neighbor1 == pair.neighbor2;
        const T *M1 = M + pair.neighbor1 * block, *M2 = M + pair.neighbor2 * block;
        const T *dM1 = dM + pair.neighbor1 * block, *dM2 = dM + pair.neighbor2 * block;
        for (int g = 0; g < row; g += lanes<T>) {
            Pack<T> diagonal{};
            for (int m = hood.bucket[pair.neighbor1]; same && m < hood.bucket[pair.neighbor1 + 1]; ++m)
                diagonal +=
                    load(f_rows + m * row + g) * load((S == Sweep::jvp ? df_rows : f_rows) + m * row + g);
            for (int n = 0; n <= degree; ++n) {
                Pack<T> total{};
                for (int p = first_of(n); p < first_of(n + 1); ++p) {
                    const int at = p * row + g;
                    Pack<T> product = load(M1 + at) * load(S == Sweep::jvp ? dM2 + at : M2 + at);
                    if (S == Sweep::jvp && !same) product += load(dM1 + at) * load(M2 + at);
                    total += T(plan->weights[p]) * product;
                }
                if (same) total = (total - diagonal) * T(S == Sweep::jvp ? 1.0 : 0.5);
                store(S_n + n * row + g, total);
            }
        }
    }

    // dE/dM of the moments of one element, from dE/dS and the moments of the other.
    void pull_moments(const T* other, T* out) const {
        for (int n = 0; n <= degree; ++n)
            for (int p = first_of(n); p < first_of(n + 1); ++p)
                for (int g = 0; g < row; g += lanes<T>) {
                    const int at = p * row + g;
                    store(out + at,
                          load(out + at) + T(plan->weights[p]) * load(S_n + n * row + g) * load(other + at));
                }
    }

    // The neighbors m, m + 1, ... of a register, of element e.
    void pull_register(int e, int m) {
        Pack<T> slope = load(hood.slope + m);
        int g = 0;
        for (; g + 4 <= n_factors; g += 4) pull_factors<4>(e, m, g, slope);
        for (; g < n_factors; ++g) pull_factors<1>(e, m, g, slope);
        store(hood.slope + m, slope);
        Pack<T> x{}, y{}, z{};
        for (int n = 0; n < degree; ++n)
            over_degree(n, [&](int i, int s) {
                const Pack<T> lower = load(phi + std::size_t(first_of(n) + i) * hood.stride + m);
                const T* upper = P + (first_of(n + 1) + i) * lanes<T>;
                x += lower * load(upper);
                y += lower * load(upper + (s + 1) * lanes<T>);
                z += lower * load(upper + (s + 2) * lanes<T>);
            });
        project(m, x, y, z);
        store(hood.gx + m, load(hood.gx + m) + x);
        store(hood.gy + m, load(hood.gy + m) + y);
        store(hood.gz + m, load(hood.gz + m) + z);
    }

    // Adds what N factors have to the slopes of a register, and to dE/dphi.
    template <int N>
    void pull_factors(int e, int m, int first, Pack<T>& slope) {
        const T* derivative = dM + std::size_t(e) * size * row + first;
        Pack<T> f[N], h[N];
        for (int g = 0; g < N; ++g) {
            f[g] = load(factor(first + g).value + m);
            h[g] = -own[e * row + first + g] * f[g];
        }
        for (int p = 0; p < size; ++p) {
            const Pack<T> monomial = load(phi + std::size_t(p) * hood.stride + m);
            Pack<T> total = first == 0 ? Pack<T>{} : load(P + p * lanes<T>);
            for (int g = 0; g < N; ++g) {
                const T c = derivative[p * row + g];
                h[g] += c * monomial;
                total += c * f[g];
            }
            store(P + p * lanes<T>, total);
        }
        for (int g = 0; g < N; ++g) slope += h[g] * load(factor(first + g).slope + m);
    }

    // From the gradient with respect to u to that with respect to D = r u, r being constant.
    void project(int m, Pack<T>& x, Pack<T>& y, Pack<T>& z) const {
        const Pack<T> inverse = load(hood.inverse + m);
        const Pack<T> ux = load(hood.x + m) * inverse, uy = load(hood.y + m) * inverse,
                      uz = load(hood.z + m) * inverse;
        const Pack<T> along = x * ux + y * uy + z * uz;
        x = (x - along * ux) * inverse;
        y = (y - along * uy) * inverse;
        z = (z - along * uz) * inverse;
    }

    // dG/dD of the members of a pair where neighbors of element e move among those of `other`.
    void differentiate(const MomentPair& pair, int e, int other, T* rows) {
        const MomentMember *member = pair.members.data(), *end = member + pair.members.size();
        while (member != end) {
            const int g = member->factor;
            const MomentMember* next = member;
            while (next != end && next->factor == g) ++next;
            for (int m = hood.bucket[e]; m < hood.bucket[e + 1]; m += lanes<T>) {
                slopes_of_power_sums(m, g, other, e == other);
                for (const MomentMember* one = member; one != next; ++one) combine(*one, m, rows);
            }
            member = next;
        }
    }

    // dS_n/dD for a register of neighbors.
    void slopes_of_power_sums(int m, int g, int other, bool same) {
        const T* field = M + std::size_t(other) * size * row + g;
        const Pack<T> f = load(factor(g).value + m), slope = load(factor(g).slope + m);
        for (int n = 0; n <= degree; ++n) {
            Pack<T> value{}, x{}, y{}, z{};
            for (int p = first_of(n); p < first_of(n + 1); ++p)
                value += T(plan->weights[p]) * field[p * row] * load(phi + std::size_t(p) * hood.stride + m);
            if (n > 0)
                over_degree(n - 1, [&](int i, int s) {
                    const Pack<T> lower = load(phi + std::size_t(first_of(n - 1) + i) * hood.stride + m);
                    const int p = first_of(n) + i;
                    x += T(plan->weights[p]) * field[p * row] * lower;
                    y += T(plan->weights[p + s + 1]) * field[(p + s + 1) * row] * lower;
                    z += T(plan->weights[p + s + 2]) * field[(p + s + 2) * row] * lower;
                });
            project(m, x, y, z);
            const Pack<T> radial = (same ? value - f : value) * slope;
            store(V + 3 * n * lanes<T>, f * x + radial * load(hood.x + m));
            store(V + (3 * n + 1) * lanes<T>, f * y + radial * load(hood.y + m));
            store(V + (3 * n + 2) * lanes<T>, f * z + radial * load(hood.z + m));
        }
    }

    void combine(const MomentMember& member, int m, T* rows) const {
        T* out = rows + std::size_t(member.column) * 3 * hood.n + m;
        Pack<T> x{}, y{}, z{};
        for (std::size_t n = 0; n < member.powers.size(); ++n) {
            const T power = T(member.powers[n]), *v = V + 3 * n * lanes<T>;
            x += power * load(v);
            y += power * load(v + lanes<T>);
            z += power * load(v + 2 * lanes<T>);
        }
        store(out, x);
        store(out + hood.n, y);
        store(out + 2 * hood.n, z);
    }
};

}  // namespace bnnp::BNNP_INSTRUCTION_SET

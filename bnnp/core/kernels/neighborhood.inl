// Collecting the neighbors of an atom, and the triples of a bundle.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/radial.inl"
#include "kernels/tasks.hpp"
#include "kernels/workspace.inl"

namespace bnnp::BNNP_INSTRUCTION_SET {

template <typename T>
class Gatherer {
  public:
    Neighborhood<T> hood;
    Block<T> block;

    // Neighbors within the reach of this element's functions, sorted by element, a coordinate an array.
    void gather(const Plan& plan, const PairList& pairs, const Task& task, std::int64_t i) {
        const ElementPlan& element = plan.elements[pairs.types[i]];
        const std::int64_t first = pairs.first[i], last = pairs.first[i + 1];
        const int n_elements = int(plan.elements.size()), n_envelopes = int(element.envelopes.size());
        allocate(int(last - first), n_elements, n_envelopes);
        const double reach = element.radius * element.radius;
        hood.n = hood.count = 0;
        for (int e = 0; e < n_elements; ++e) {
            hood.bucket[e] = hood.n;
            for (std::int64_t p = first; p < last; ++p)
                if (pairs.types[pairs.neighbors[p]] == e)
                    add(pairs.vectors + 3 * p, task.dD ? task.dD + 3 * p : nullptr, int(p - first), reach);
            for (; hood.n % lanes<T> != 0; ++hood.n) gap(T(reach));
        }
        hood.bucket[n_elements] = hood.n;
        for (int m = 0; m < hood.n; ++m) hood.inverse[m] = T(1) / std::sqrt(hood.square[m]);
        if (task.sweep == Sweep::vjp)
            for (T* array : {hood.gx, hood.gy, hood.gz, hood.slope})
                std::memset(array, 0, sizeof(T) * std::size_t(hood.n));
        for (int e = 0; e < n_envelopes; ++e) fill_envelope(plan, element.envelopes[e], e);
    }

    // Makes room for blocks of triples whose rows have up to `longest_row` members.
    void prepare_block(int longest_row, int n_angles) {
        const int capacity = block.capacity = whole<T>(block_size + longest_row) + 2 * lanes<T>;
        T* memory = block_memory.get(std::size_t(capacity) * (28 + 2 * n_angles));
        T** arrays[] = {&block.c,          &block.square,  &block.exponent,  &block.F,
                        &block.F_j,        &block.F_k,     &block.F_jk,      &block.inverse_j,
                        &block.inverse_k,  &block.tc,      &block.tangent_j, &block.tangent_k,
                        &block.tangent_jk, &block.b.value, &block.b.slope,   &block.R,
                        &block.R_j,        &block.R_k,     &block.R_jk,      &block.A,
                        &block.B,          &block.S,       &block.S_eta,     &block.e_c,
                        &block.e_j,        &block.e_k,     &block.e_jk,      &block.theta.value};
        for (T** array : arrays) *array = memory, memory += capacity;
        block.angles = {memory, memory + std::size_t(capacity) * n_angles};
        block.theta.slope = block.S;  // never at the same time
        const int rows = block_size + 2;
        block.k = block_integers.get(std::size_t(capacity) + 4 * rows);
        block.row_start = block.k + capacity;
        block.row_j = block.row_start + rows;
        block.row_k = block.row_j + rows;
        block.row_mask = block.row_k + rows;
        block.row_mask[0] = 0;
        block.masks = block_masks.get(std::size_t(rows) * (longest_row / lanes<T> + 2));
        block.n = block.rows = 0;
    }

    // Append the triples (j, k), begin <= k < end, with r_k^2 and r_jk^2 below `limit`. `fc` is the envelope
    // of the centered Gaussians; other functions do not need it.
    template <Sweep S, bool GAUSSIANS>
    void collect(int j, int begin, int end, T limit, Curve<T> fc) {
        constexpr bool derivative = S != Sweep::values;
        const T xj = hood.x[j], yj = hood.y[j], zj = hood.z[j];
        const T square_j = hood.square[j], inverse_j = hood.inverse[j];
        const int start = block.n, row = block.rows;
        int n = start;
        Mask* mask = block.masks + block.row_mask[row];
        for (int k = begin / lanes<T> * lanes<T>; k < end; k += lanes<T>) {
            const Pack<T> x = load(hood.x + k), y = load(hood.y + k), z = load(hood.z + k);
            const Pack<T> square_k = load(hood.square + k), inverse_k = load(hood.inverse + k);
            const Pack<T> s = xj * x + yj * y + zj * z, sum = square_j + square_k, square = sum - T(2) * s;
            const Mask triples = mask_below<T>(square, limit, square_k, limit, begin - k);
            const Lanes<T> chosen(triples);
            *mask++ = triples;
            chosen.pack(block.c + n, s * inverse_k * inverse_j);
            if constexpr (GAUSSIANS) {
                const Pack<T> fc_k = load(fc.value + k);
                chosen.pack(block.square + n, square);
                chosen.pack(block.exponent + n, sum + square);
                chosen.pack(block.F + n, fc.value[j] * fc_k);
                if constexpr (derivative) {
                    chosen.pack(block.F_j + n, fc.slope[j] * fc_k);
                    chosen.pack(block.F_k + n, fc.value[j] * load(fc.slope + k));
                }
            } else {
                chosen.pack(block.square + n, square);
            }
            if constexpr (derivative) chosen.pack(block.inverse_k + n, inverse_k);
            if constexpr (S == Sweep::jvp) {
                const Pack<T> tx = load(hood.tx + k), ty = load(hood.ty + k), tz = load(hood.tz + k);
                chosen.pack(block.tangent_k + n, load(hood.tangent + k));
                chosen.pack(block.tangent_jk + n,
                            hood.tx[j] * x + hood.ty[j] * y + hood.tz[j] * z + xj * tx + yj * ty + zj * tz);
            }
            if constexpr (!GAUSSIANS) chosen.pack_index(block.k + n, k);
            n += __builtin_popcount(triples);
        }
        if (n == start) return;
        if constexpr (derivative)
            for (int t = start; t < n; t += lanes<T>) store(block.inverse_j + t, Pack<T>{} + inverse_j);
        if constexpr (S == Sweep::jvp)
            for (int t = start; t < n; t += lanes<T>) store(block.tangent_j + t, Pack<T>{} + hood.tangent[j]);
        block.row_j[row] = j;
        block.row_k[row] = begin / lanes<T> * lanes<T>;
        block.row_start[row] = start;
        block.row_mask[row + 1] = std::int32_t(mask - block.masks);
        block.rows = row + 1;
        block.n = n;
    }

    // Fills up the last register with triples that count nothing. Returns the number of triples with them.
    int close_block() {
        const int n = block.n, end = whole<T>(n);
        block.row_start[block.rows] = n;
        for (int t = n; t < end; ++t) {
            block.c[t] = block.exponent[t] = block.F[t] = block.F_j[t] = block.F_k[t] = T(0);
            block.inverse_j[t] = block.inverse_k[t] = T(0);
            block.tangent_j[t] = block.tangent_k[t] = block.tangent_jk[t] = T(0);
            block.square[t] = T(1);
        }
        return end;
    }

  private:
    Buffer<T> hood_memory, block_memory;
    Buffer<std::int32_t> hood_integers, block_integers;
    Buffer<Mask> block_masks;

    void allocate(int n_pairs, int n_elements, int n_envelopes) {
        const int stride = hood.stride = whole<T>(n_pairs) + (n_elements + 1) * lanes<T>;
        T* memory = hood_memory.get(std::size_t(stride) * (13 + 2 * n_envelopes));
        T** arrays[] = {&hood.x,  &hood.y,       &hood.z,  &hood.square, &hood.inverse, &hood.tx,   &hood.ty,
                        &hood.tz, &hood.tangent, &hood.gx, &hood.gy,     &hood.gz,      &hood.slope};
        for (T** array : arrays) *array = memory, memory += stride;
        hood.envelopes = memory;
        hood.pair = hood_integers.get(stride + n_elements + 2);
        hood.bucket = hood.pair + stride;
    }

    void add(const double* d, const double* tangent, int pair, double reach) {
        const double square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
        if (square >= reach) return;
        const int m = hood.n++;
        ++hood.count;
        hood.pair[m] = pair;
        hood.x[m] = T(d[0]), hood.y[m] = T(d[1]), hood.z[m] = T(d[2]);
        hood.square[m] = T(square);
        if (!tangent) return;
        hood.tx[m] = T(tangent[0]), hood.ty[m] = T(tangent[1]), hood.tz[m] = T(tangent[2]);
        hood.tangent[m] = T(d[0] * tangent[0] + d[1] * tangent[1] + d[2] * tangent[2]);
    }

    void gap(T reach) {
        const int m = hood.n;
        hood.pair[m] = -1;
        hood.x[m] = hood.y[m] = hood.z[m] = hood.tx[m] = hood.ty[m] = hood.tz[m] = hood.tangent[m] = T(0);
        hood.square[m] = reach;
    }

    void fill_envelope(const Plan& plan, const Envelope& envelope, int e) {
        const Curve<T> fc = hood.envelope(e);
        cutoff_function<true>(envelope.cutoff, hood.square, fc, hood.n);
        if (!envelope.weighted) return;
        for (int b = 0; b < int(plan.elements.size()); ++b)
            for (int m = hood.bucket[b]; m < hood.bucket[b + 1]; ++m)
                fc.value[m] *= T(plan.atomic_numbers[b]), fc.slope[m] *= T(plan.atomic_numbers[b]);
    }
};

}  // namespace bnnp::BNNP_INSTRUCTION_SET

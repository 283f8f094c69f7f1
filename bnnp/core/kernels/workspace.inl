// Memory a kernel works in: the neighbors of one atom, and a block of triples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "kernels/pack.inl"

namespace bnnp::BNNP_INSTRUCTION_SET {

// Memory of one thread; grows, never shrinks. (No std containers that allocate: their code would be shared
// between instruction sets by the linker.)
template <typename T>
struct Buffer {
    T* data = nullptr;
    std::size_t capacity = 0;
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(data); }
    T* get(std::size_t n) {
        if (n > capacity) {
            std::free(data);
            capacity = (n + n / 2 + 63) & ~std::size_t(63);
            data = static_cast<T*>(std::aligned_alloc(64, capacity * sizeof(T)));
        }
        return data;
    }
};

// A function over an array of points, and its derivative.
template <typename T>
struct Curve {
    T *value, *slope;

    Curve from(int n) const { return {value + n, slope + n}; }
};

// n rounded up to whole registers
template <typename T>
static inline int whole(int n) {
    return (n + lanes<T> - 1) / lanes<T> * lanes<T>;
}

// The neighbors of one atom within the reach of its functions, sorted by element. Each element starts a
// register; the gaps before the next are filled with neighbors at the reach, where all functions are zero.
template <typename T>
struct Neighborhood {
    int n = 0, stride = 0;            // neighbors, with the gaps; length of the arrays
    int count = 0;                    // neighbors, without the gaps
    T *x, *y, *z, *square, *inverse;  // displacement D, |D|^2, 1/|D|
    T *tx, *ty, *tz, *tangent;        // jvp: dD and D . dD
    T *gx, *gy, *gz;                  // vjp: dE/dD of the triples
    T* slope;                         // vjp: (dE/dr) / r of the pairs
    T* envelopes;                     // (n_envelopes, 2, stride): fc times weight, and (fc'/r) times weight
    std::int32_t *pair, *bucket;      // index in the pair list, -1 in gaps; first neighbor of each element

    Curve<T> envelope(int e) const {
        T* value = envelopes + std::size_t(e) * 2 * stride;
        return {value, value + stride};
    }
};

constexpr int block_size = 384;

// Triples (j, k), row after row of equal j. Behind the last one the arrays are filled to whole registers with
// triples that count nothing.
template <typename T>
struct Block {
    int n = 0, rows = 0, capacity = 0;
    T *c, *square, *exponent;  // cos theta, r_jk^2, r_j^2 + r_k^2 + r_jk^2
    T *F, *F_j, *F_k, *F_jk;   // centered Gaussians: cutoff functions and derivatives (1/r) d/dr
    T *inverse_j, *inverse_k;  // 1/r_j, 1/r_k
    T *tc, *tangent_j, *tangent_k, *tangent_jk;  // tangents: dcos, D_j . dD_j, D_k . dD_k, D_jk . dD_jk
    Curve<T> b;                                  // factor of r_jk
    T *R, *R_j, *R_k, *R_jk;                     // radial part and its derivatives (1/r) d/dr
    T *A, *B;                                    // sums over members of weight times p, and times dp/dcos
    T *S, *S_eta;                                // centered Gaussians: sums over groups of A E and eta A E
    T *e_c, *e_j, *e_k, *e_jk;                   // derivatives of the energy
    Curve<T> theta;                              // in degrees, dtheta/dcos
    Curve<T> angles;                             // p and dp/dcos of all angles, (n_angles, capacity)
    std::int32_t* k;                             // looked-up factors only
    std::int32_t *row_start, *row_j, *row_k;  // of each row: first triple, j, and the k of its first register
    std::int32_t* row_mask;                   // of each row: first of its masks
    Mask* masks;                              // which neighbors of a register are triples of the row

    Curve<T> angle(int a) const { return angles.from(a * capacity); }
};

}  // namespace bnnp::BNNP_INSTRUCTION_SET

// What a kernel reads and writes: arrays of the caller, which outlive the call.
#pragma once

#include <cstdint>

namespace bnnp {

// begin, begin + 1, ..., end - 1
struct Range {
    std::int64_t begin = 0, end = 0;
};

// Full neighbor list in compressed rows: pairs first[i] .. first[i+1]-1 belong to center i.
struct PairList {
    std::int64_t n_atoms = 0;
    const std::int64_t* first = nullptr;
    const std::int32_t* neighbors = nullptr;
    const double* vectors = nullptr;      // (n_pairs, 3): r_neighbor + image - r_center
    const std::int32_t* types = nullptr;  // (n_atoms,) element index
};

// The four sweeps. Arrays over functions are (n_atoms, width), zero beyond the element's own functions.
enum class Sweep { values, vjp, jvp, jacobian };

struct Task {
    Sweep sweep = Sweep::values;
    const double* dE_dG = nullptr;  // vjp: input (n_atoms, width)
    const double* dD = nullptr;     // jvp: input (n_pairs, 3)
    double* G = nullptr;            // values, jvp: output (n_atoms, width)
    double* dE_dD = nullptr;        // vjp: output (n_pairs, 3)
    void* blocks = nullptr;         // jacobian: output, float or double
    bool blocks_double = false;
    // jacobian: (n_pairs + 1,) start of the (3, n_sensitive) block of each pair
    const std::int64_t* block_offsets = nullptr;
};

// The sweeps vjp and jvp with the blocks that a jacobian has left.
struct BlockTask {
    const void* blocks = nullptr;  // (3, n_sensitive) of each pair
    bool blocks_double = false;
    const std::int64_t* block_offsets = nullptr;  // (n_pairs + 1,)
    const double* dE_dG = nullptr;                // vjp: input (n_atoms, width)
    double* dE_dD = nullptr;                      // vjp: output (n_pairs, 3)
    const double* dD = nullptr;                   // jvp: input (n_pairs, 3)
    double* G = nullptr;                          // jvp: output (n_atoms, width)
};

// The networks at some atoms. With the weights W of layer 1, dE_s/dinput = W delta_s: the gradients of all
// samples are in the span of W, and `span` is the number of nodes of layer 1. With masks on the inputs it is
// that of the inputs, and delta_s = dE_s/dinput.
struct SampleTask {
    const std::int32_t* types = nullptr;
    const double* inputs = nullptr;  // (n_atoms, width) scaled symmetry functions
    double* energies = nullptr;      // (n_atoms, n_samples)
    double* gradient = nullptr;      // (n_atoms, width) mean over samples of dE/dinput, or null
    double* delta = nullptr;         // (n_atoms, span, padded n_samples), or null
};

// Forces of every sample. `slopes` come first: minus d(what delta multiplies)/dD of each pair, that is, what
// the pair adds to the force on its neighbor; and after all pairs of a center what it adds to its own force
// and to the virial.
struct SampleForceTask {
    const double* factors = nullptr;  // (n_elements, width) d(scaled)/d(unscaled) symmetry function
    const double* delta = nullptr;    // of SampleTask
    const std::int64_t* block_offsets = nullptr;  // (n_pairs + 1,) of the derivatives, see Task
    const std::int32_t* centers = nullptr;    // (n_atoms,) row of each center in `forces`; null: as they come
    const std::int32_t* neighbors = nullptr;  // (n_pairs,) row of each neighbor
    std::int64_t first_center = 0;            // `slopes` start with this center
    double* slopes = nullptr;                 // (pairs + 4 for each center, 3, padded span)
    double* forces = nullptr;                 // (rows, 3, padded n_samples), added to
    double* virials = nullptr;                // (3, 3, padded n_samples) sum_p D (x) dE/dD, added to; or null
};

// Points as the neighbor search keeps them, with a register more at the end, and a sphere among them.
struct Points {
    const double *x = nullptr, *y = nullptr, *z = nullptr;
};

struct Sphere {
    double x, y, z, square;  // center, square of the radius
};

// Gaussian charges at the positions of atoms, all images of a pair (i, j >= i) within a distance:
//   A_ij = sum [erf(r / sqrt2 gamma_ij) - erf(r / sqrt2 eta)] / r      r < cutoff, without the second for eta
//   0 B_ij = sum [f_s(r) - 1] erf(r / sqrt2 gamma_ij) / r                r < outer
// or the derivatives of A, or `screened` of A + B, by r_j and the strain, or the forces and the virial of 1/2 left (A right + B left).
struct ChargeTask {
    std::int64_t n_atoms = 0, n_images = 0;
    const double* positions = nullptr;  // (n_atoms, 3)
    const double* widths = nullptr;     // (n_atoms,): gamma_ij^2 is the sum of two squares
    Points images;                      // translations, the first is zero
    double cutoff = 0.0, eta = 0.0, inner = 0.0, outer = 0.0;
    int core = 0;                       // of the screening function: 0 cosine, 1-4 POLY1-4, 5 exponential
    std::int64_t first = 0, step = 1;   // rows i = first, first + step, ...
    double *A = nullptr, *B = nullptr;  // (n_atoms, n_atoms), j >= i are added to; or
    double* slopes = nullptr;           // (9, n_atoms, n_atoms) by x y z of j, xx yy zz yz xz xy; or
    bool screened = false;
    const double *left = nullptr, *right = nullptr;  // (n_atoms,)
    double *forces = nullptr, *virial = nullptr;     // (n_atoms, 3) and xx yy zz xy xz yz, added to
};

// sums_ij += sign sum_t factors_ti factors_tj
struct ProductTask {
    const double* factors = nullptr;  // (terms, row)
    std::int64_t terms = 0, row = 0;
    Range rows, columns;  // i and j; `columns` has a multiple of row_unit
    double sign = 1.0;
    double* sums = nullptr;  // (rows, stride), added to
    std::int64_t stride = 0;
};

}  // namespace bnnp

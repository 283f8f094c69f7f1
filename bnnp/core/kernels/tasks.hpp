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

// Elements of a sparse matrix, row after row.
struct SparseRows {
    std::int64_t n = 0;
    std::int32_t* columns = nullptr;
    double* values = nullptr;
};

// Gaussian charges at the positions of atoms, all images of a pair (i, j >= i) within a distance:
//   A_ij = sum [erf(r / sqrt2 gamma_ij) - erf(r / sqrt2 eta_ij)] / r    r < cutoff or reach eta_ij
//   B_ij = sum [f_s(r) - 1] erf(r / sqrt2 gamma_ij) / r                 r < outer
// with gamma_ij^2 and eta_ij^2 sums over i and j of the squares of widths and of spreads; without spreads the
// second erf is 0. Or the derivatives of A, or `screened` of A + B, by r_j and the strain, or the forces and
// the virial of 1/2 left (A right + B left), or the products A right and B right.
struct ChargeTask {
    std::int64_t n_atoms = 0, n_images = 0;
    const double* positions = nullptr;                           // (n_atoms, 3)
    const double* widths = nullptr;                              // (n_atoms,)
    const double* spreads = nullptr;                             // (n_atoms,), or null
    Points images;                                               // translations, the first is zero
    double cutoff = 0.0, reach = 0.0, inner = 0.0, outer = 0.0;  // reach > 0 stands for the cutoff
    int core = 0;                          // of the screening function: 0 cosine, 1-4 POLY1-4, 5 exponential
    std::int64_t first = 0, step = 1;      // rows i = first, first + step, ...
    std::int64_t last = 0;                 // rows of a neighbor list end here; it has, from the first row on,
    const std::int64_t* counts = nullptr;  // neighbors of each row,
    const std::int32_t* neighbors = nullptr;  // i-j and j-i,
    const double* vectors = nullptr;          // (n_pairs, 3) from i to j
    double *A = nullptr, *B = nullptr;        // (n_atoms, n_atoms), j >= i are added to; or
    double* slopes = nullptr;                 // (9, n_atoms, n_atoms) by x y z of j, xx yy zz yz xz xy; or
    bool screened = false;
    SparseRows *sparse_A = nullptr,
               *sparse_B = nullptr;                     // of a neighbor list, with the ends of their rows in
    std::int64_t *ends_A = nullptr, *ends_B = nullptr;  // (last - first,) each; or
    double *product_A = nullptr, *product_B = nullptr;  // (n_atoms,), added to; or
    const double *left = nullptr, *right = nullptr;     // (n_atoms,)
    double *forces = nullptr, *virial = nullptr;        // (n_atoms, 3) and xx yy zz xy xz yz, added to
};

// Charges on the points of a mesh that is repeated along all axes, by products of B-splines of an even order.
constexpr int largest_mesh_order = 16;  // all even ones from 4 on

struct MeshTask {
    std::int64_t n_atoms = 0;
    int order = 0;
    std::int64_t shape[3] = {};  // the last axis is followed by `order` points that repeat its first
    const std::int32_t* starts = nullptr;  // (n_atoms, 3): first point of each atom along each axis
    const std::int32_t* rows = nullptr;    // (n_atoms,): where the results of each atom go
    const double* weights = nullptr;       // (n_atoms, 3, order)
    const double* slopes = nullptr;        // (n_atoms, 3, order) derivatives by the position in points
    const double* charges = nullptr;       // (n_atoms,) to be spread
    double* mesh = nullptr;       // (shape[0], shape[1], shape[2] + order), added to; or, to be read,
    double* values = nullptr;     // (n_atoms,) interpolated, and
    double* gradients = nullptr;  // (n_atoms, 3) their derivatives by the position in points; or null
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

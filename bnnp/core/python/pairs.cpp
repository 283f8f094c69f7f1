// Neighbor lists and sums over pairs, as Python has them.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/neighbors.hpp"
#include "kernels/threads.hpp"
#include "python/bindings.hpp"

namespace bnnp {
namespace {

void check_values(std::int64_t n_atoms, const Longs& first, const Ints& neighbors, const Doubles& values) {
    check_pairs(n_atoms, first, neighbors);
    require(has_shape(values, neighbors.size(), 3), "expected the shape (n_pairs, 3)");
}

// Calls visit(center, neighbor, pair) for all pairs, one center after the other.
template <typename Visit>
void for_each_pair(const Longs& first, const Ints& neighbors, Visit visit) {
    const std::int64_t *start = first.data(), n = first.size() - 1;
    const std::int32_t* neighbor = neighbors.data();
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t p = start[i]; p < start[i + 1]; ++p) visit(i, std::int64_t(neighbor[p]), p);
}

// The full neighbor list: first, centers, neighbors, vectors. `points` are searched instead of the positions.
py::tuple find_neighbors(const Doubles& positions, const Doubles& points, const py::object& cell,
                         const Longs& numbers, double cutoff, int threads) {
    const std::int64_t n = positions.shape(0);
    const Doubles box = cell.is_none() ? Doubles(9) : cell.cast<Doubles>();
    require(positions.size() == 3 * n && points.size() == 3 * n && numbers.size() == n && box.size() == 9,
            "expected positions (n, 3), points (n, 3), cell (3, 3), numbers (n,)");
    for (std::int64_t i = 0; i < n; ++i)
        require(numbers.data()[i] >= 0 && numbers.data()[i] < 1000, "an atomic number is out of range");
    const Atoms atoms{n, positions.data(), points.data(), cell.is_none() ? nullptr : box.data(),
                      numbers.data()};
    const auto centers_of = [n](std::int64_t piece) {
        return Range{64 * piece, std::min(64 * piece + 64, n)};
    };
    std::vector<NeighborSearch::Piece> pieces((n + 63) / 64);
    {
        py::gil_scoped_release release;
        const Kernels kernels = choose_kernels();
        const NeighborSearch search(kernels, atoms, cutoff);
        parallel_pieces(std::int64_t(pieces.size()), threads,
                        [&](std::int64_t k) { pieces[k] = search.find(centers_of(k)); });
    }
    Longs first(n + 1);
    std::int64_t *offsets = first.mutable_data(), i = 0;
    offsets[0] = 0;
    for (const auto& piece : pieces)
        for (const std::int64_t count : piece.counts) offsets[i + 1] = offsets[i] + count, ++i;
    Ints centers(offsets[n]), neighbors(offsets[n]);
    Doubles vectors({offsets[n], std::int64_t(3)});
    std::int32_t *C = centers.mutable_data(), *N = neighbors.mutable_data();
    double* D = vectors.mutable_data();
    {
        py::gil_scoped_release release;
        parallel_pieces(std::int64_t(pieces.size()), threads, [&](std::int64_t k) {
            const Range own = centers_of(k);
            std::copy(pieces[k].neighbors.begin(), pieces[k].neighbors.end(), N + offsets[own.begin]);
            std::copy(pieces[k].vectors.begin(), pieces[k].vectors.end(), D + 3 * offsets[own.begin]);
            for (std::int64_t a = own.begin; a < own.end; ++a)
                std::fill(C + offsets[a], C + offsets[a + 1], std::int32_t(a));
        });
    }
    return py::make_tuple(first, centers, neighbors, vectors);
}

// The pairs of a list that are within the cutoff at other positions: D = r_j - r_i + image.
py::tuple narrow(const Longs& first, const Ints& neighbors, const Doubles& images, const Doubles& positions,
                 double cutoff) {
    const std::int64_t n = first.size() - 1;
    check_values(n, first, neighbors, images);
    require(positions.size() == 3 * n, "positions must have the shape (n_atoms, 3)");
    std::vector<std::int64_t> offsets(n + 1, 0);
    std::vector<std::int32_t> centers, kept;
    std::vector<double> vectors;
    centers.reserve(neighbors.size()), kept.reserve(neighbors.size()), vectors.reserve(3 * neighbors.size());
    const double *r = positions.data(), *image = images.data();
    for_each_pair(first, neighbors, [&](std::int64_t i, std::int64_t j, std::int64_t p) {
        double d[3];
        for (int c = 0; c < 3; ++c) d[c] = (r[3 * j + c] - r[3 * i + c]) + image[3 * p + c];
        if (!(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < cutoff * cutoff)) return;
        centers.push_back(std::int32_t(i));
        kept.push_back(std::int32_t(j));
        vectors.insert(vectors.end(), d, d + 3);
        ++offsets[i + 1];
    });
    for (std::int64_t i = 0; i < n; ++i) offsets[i + 1] += offsets[i];
    const std::int64_t size = offsets[n];
    return py::make_tuple(Longs(n + 1, offsets.data()), Ints(size, centers.data()), Ints(size, kept.data()),
                          Doubles({size, std::int64_t(3)}, vectors.data()));
}

// F_i = sum of dE/dD over the pairs of center i, minus the sum over the pairs with neighbor i. (n_atoms, 3)
Doubles sum_pairs(const Longs& first, const Ints& neighbors, const Doubles& dE_dD) {
    const std::int64_t n = first.size() - 1;
    check_values(n, first, neighbors, dE_dD);
    Doubles forces({n, std::int64_t(3)});
    double* F = forces.mutable_data();
    const double* d = dE_dD.data();
    std::fill(F, F + 3 * n, 0.0);
    for_each_pair(first, neighbors, [&](std::int64_t i, std::int64_t j, std::int64_t p) {
        for (int c = 0; c < 3; ++c) F[3 * i + c] += d[3 * p + c], F[3 * j + c] -= d[3 * p + c];
    });
    return forces;
}

// W_j = -sum of D (x) dE/dD over the pairs with neighbor j, to whom the virial belongs. (n_atoms, 3, 3)
Doubles neighbor_virials(const Longs& first, const Ints& neighbors, const Doubles& vectors,
                         const Doubles& dE_dD) {
    const std::int64_t n = first.size() - 1, three = 3;
    check_values(n, first, neighbors, dE_dD);
    check_values(n, first, neighbors, vectors);
    Doubles virials({n, three, three});
    double* W = virials.mutable_data();
    const double *D = vectors.data(), *d = dE_dD.data();
    std::fill(W, W + 9 * n, 0.0);
    for_each_pair(first, neighbors, [&](std::int64_t, std::int64_t j, std::int64_t p) {
        for (int a = 0; a < 3; ++a)
            for (int b = 0; b < 3; ++b) W[9 * j + 3 * a + b] -= D[3 * p + a] * d[3 * p + b];
    });
    return virials;
}

// The transpose of sum_pairs: value of the center minus value of the neighbor, for every pair. (n_pairs, 3)
Doubles pair_differences(const Longs& first, const Ints& neighbors, const Doubles& atoms) {
    const std::int64_t n = first.size() - 1;
    require(has_shape(atoms, n, 3), "expected the shape (n_atoms, 3)");
    check_pairs(n, first, neighbors);
    Doubles result({std::int64_t(neighbors.size()), std::int64_t(3)});
    double* out = result.mutable_data();
    const double* x = atoms.data();
    for_each_pair(first, neighbors, [&](std::int64_t i, std::int64_t j, std::int64_t p) {
        for (int c = 0; c < 3; ++c) out[3 * p + c] = x[3 * i + c] - x[3 * j + c];
    });
    return result;
}

}  // namespace

void bind_pairs(py::module_& module) {
    module.def("find_neighbors", &find_neighbors);
    module.def("narrow", &narrow);
    module.def("sum_pairs", &sum_pairs);
    module.def("neighbor_virials", &neighbor_virials);
    module.def("pair_differences", &pair_differences);
}

}  // namespace bnnp

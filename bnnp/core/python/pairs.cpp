// Neighbor lists and sums over pairs, as Python has them.
#include <algorithm>

#include "python/bindings.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/neighbors.hpp"

namespace bnnp {
namespace {

void check_pairs(std::int64_t n_atoms, const Longs& first, const Ints& neighbors, const Doubles& values) {
    require(first.size() == n_atoms + 1 && first.at(n_atoms) == neighbors.size(), "first must have one entry more than there are atoms");
    require(values.ndim() == 2 && values.shape(0) == neighbors.size() && values.shape(1) == 3, "expected the shape (n_pairs, 3)");
    for (std::int64_t p = 0; p < neighbors.size(); ++p)
        require(neighbors.data()[p] >= 0 && neighbors.data()[p] < n_atoms, "neighbors holds an atom index out of range");
}

// The full neighbor list: first, centers, neighbors, vectors. `points` are searched instead of the positions.
py::tuple find_neighbors(const Doubles& positions, const Doubles& points, const py::object& cell, const Longs& numbers, double cutoff, int threads) {
    const std::int64_t n = positions.shape(0);
    const Doubles box = cell.is_none() ? Doubles(9) : cell.cast<Doubles>();
    require(positions.size() == 3 * n && points.size() == 3 * n && numbers.size() == n && box.size() == 9,
            "expected positions (n, 3), points (n, 3), cell (3, 3), numbers (n,)");
    for (std::int64_t i = 0; i < n; ++i) require(numbers.data()[i] >= 0 && numbers.data()[i] < 1000, "an atomic number is out of range");
    Longs first(n + 1);
    std::vector<NeighborSearch::Piece> pieces((n + 63) / 64);
    {
        py::gil_scoped_release release;
        const Kernels kernels = choose_kernels();
        const Atoms atoms{n, positions.data(), points.data(), cell.is_none() ? nullptr : box.data(), numbers.data()};
        const NeighborSearch search(kernels, atoms, cutoff);
        parallel_pieces(std::int64_t(pieces.size()), threads, [&](std::int64_t k) { pieces[k] = search.find(64 * k, std::min(64 * k + 64, n)); });
    }
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
            const std::int64_t begin = offsets[64 * k];
            std::copy(pieces[k].neighbors.begin(), pieces[k].neighbors.end(), N + begin);
            std::copy(pieces[k].vectors.begin(), pieces[k].vectors.end(), D + 3 * begin);
            for (std::int64_t a = 64 * k; a < std::min(64 * k + 64, n); ++a) std::fill(C + offsets[a], C + offsets[a + 1], std::int32_t(a));
        });
    }
    return py::make_tuple(first, centers, neighbors, vectors);
}

// The pairs of a list that are within the cutoff at other positions: D = r_j - r_i + image.
py::tuple narrow(const Longs& first, const Ints& neighbors, const Doubles& images, const Doubles& positions, double cutoff) {
    const std::int64_t n = first.size() - 1;
    check_pairs(n, first, neighbors, images);
    require(positions.size() == 3 * n, "positions must have the shape (n_atoms, 3)");
    Longs offsets(n + 1);
    std::vector<std::int32_t> kept;
    std::vector<double> vectors;
    kept.reserve(neighbors.size()), vectors.reserve(3 * neighbors.size());
    const double *r = positions.data(), *image = images.data();
    offsets.mutable_data()[0] = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        const double* a = r + 3 * i;
        for (std::int64_t p = first.data()[i]; p < first.data()[i + 1]; ++p) {
            const double* b = r + 3 * std::int64_t(neighbors.data()[p]);
            double d[3];
            for (int c = 0; c < 3; ++c) d[c] = (b[c] - a[c]) + image[3 * p + c];
            if (!(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < cutoff * cutoff)) continue;
            kept.push_back(neighbors.data()[p]);
            vectors.insert(vectors.end(), d, d + 3);
        }
        offsets.mutable_data()[i + 1] = std::int64_t(kept.size());
    }
    Ints own(offsets.at(n)), others(offsets.at(n));
    Doubles D({offsets.at(n), std::int64_t(3)});
    for (std::int64_t i = 0; i < n; ++i) std::fill(own.mutable_data() + offsets.at(i), own.mutable_data() + offsets.at(i + 1), std::int32_t(i));
    std::copy(kept.begin(), kept.end(), others.mutable_data());
    std::copy(vectors.begin(), vectors.end(), D.mutable_data());
    return py::make_tuple(offsets, own, others, D);
}

// F_i = sum of dE/dD over the pairs of center i, minus the sum over the pairs with neighbor i. (n_atoms, 3)
Doubles sum_pairs(const Longs& first, const Ints& neighbors, const Doubles& dE_dD) {
    const std::int64_t n = first.size() - 1;
    check_pairs(n, first, neighbors, dE_dD);
    Doubles forces({n, std::int64_t(3)});
    double* F = forces.mutable_data();
    const double* d = dE_dD.data();
    std::fill(F, F + 3 * n, 0.0);
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t p = first.data()[i]; p < first.data()[i + 1]; ++p) {
            double* other = F + 3 * std::int64_t(neighbors.data()[p]);
            for (int c = 0; c < 3; ++c) F[3 * i + c] += d[3 * p + c], other[c] -= d[3 * p + c];
        }
    return forces;
}

// The transpose: value of the center minus value of the neighbor, for every pair. (n_pairs, 3)
Doubles pair_differences(const Longs& first, const Ints& neighbors, const Doubles& atoms) {
    const std::int64_t n = first.size() - 1;
    require(atoms.ndim() == 2 && atoms.shape(0) == n && atoms.shape(1) == 3, "expected the shape (n_atoms, 3)");
    Doubles result({neighbors.size(), py::ssize_t(3)});
    check_pairs(n, first, neighbors, result);
    double* out = result.mutable_data();
    const double* x = atoms.data();
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t p = first.data()[i]; p < first.data()[i + 1]; ++p) {
            const double* other = x + 3 * std::int64_t(neighbors.data()[p]);
            for (int c = 0; c < 3; ++c) out[3 * p + c] = x[3 * i + c] - other[c];
        }
    return result;
}

}  // namespace

void bind_pairs(py::module_& module) {
    module.def("find_neighbors", &find_neighbors);
    module.def("narrow", &narrow);
    module.def("sum_pairs", &sum_pairs);
    module.def("pair_differences", &pair_differences);
}

}  // namespace bnnp

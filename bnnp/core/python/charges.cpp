// Sums over pairs of Gaussian charges, as Python has them.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/neighbors.hpp"
#include "kernels/threads.hpp"
#include "python/bindings.hpp"

namespace bnnp {
namespace {

constexpr std::int64_t REGISTER = 8;                  // numbers in the largest one
constexpr int VOIGT[] = {0, 3, 4, 3, 1, 5, 4, 5, 2};  // of the elements of a matrix, as kernels have them
constexpr std::int64_t PIECES = 8;  // of the atoms, whatever the threads: sums have one order

// Copies the part above the diagonal of an (n, n) matrix below it, by blocks, which stay in the cache.
void mirror(double* matrix, std::int64_t n) {
    constexpr std::int64_t block = 32;
    for (std::int64_t row = 0; row < n; row += block)
        for (std::int64_t column = 0; column <= row; column += block)
            for (std::int64_t i = row; i < std::min(row + block, n); ++i)
                for (std::int64_t j = column; j < std::min(column + block, i); ++j)
                    matrix[i * n + j] = matrix[j * n + i];
}

// Sums over pairs, by pieces of the rows; `run` does those of one piece.
class ChargePairSums {
  public:
    ChargePairSums(Doubles positions, Doubles widths, Doubles spreads, double cutoff, double inner,
                   double outer, int core, int threads)
        : positions(positions),
          widths(widths),
          spreads(spreads),
          threads(threads),
          kernels(choose_kernels()) {
        task.n_atoms = widths.size();
        require(has_shape(positions, task.n_atoms, 3), "expected positions (n, 3) and widths (n,)");
        require(spreads.size() == 0 || spreads.size() == task.n_atoms, "expected spreads (n,) or (0,)");
        task.positions = positions.data();
        task.widths = widths.data();
        task.spreads = spreads.size() ? spreads.data() : nullptr;
        task.cutoff = cutoff;
        task.inner = inner;
        task.outer = outer;
        task.core = core;
    }
    virtual ~ChargePairSums() = default;

    // Forces (n_atoms, 3) and virial (3, 3) of 1/2 left (A right + B left).
    py::tuple derivatives(const Doubles& left, const Doubles& right) const {
        const std::int64_t n = task.n_atoms, three = 3;
        require(left.size() == n && right.size() == n, "expected charges (n_atoms,)");
        Doubles forces({n, three}), virial({three, three});
        double* W = virial.mutable_data();
        {
            py::gil_scoped_release release;
            const auto sums = summed(3 * n + 6, [&](ChargeTask& own, double* part) {
                own.left = left.data();
                own.right = right.data();
                own.forces = part;
                own.virial = part + 3 * n;
            });
            std::copy_n(sums.data(), 3 * n, forces.mutable_data());
            for (std::int64_t k = 0; k < 9; ++k) W[k] = sums[3 * n + VOIGT[k]];
        }
        return py::make_tuple(forces, virial);
    }

  protected:
    virtual void run(ChargeTask own, std::int64_t piece) const = 0;

    // A vector that all pieces add to, each of them to a part of its own that `prepare` gives its task.
    template <typename Prepare>
    std::vector<double> summed(std::int64_t size, Prepare prepare) const {
        std::vector<double> parts(PIECES * size, 0.0);
        parallel_pieces(PIECES, threads, [&](std::int64_t piece) {
            ChargeTask own = task;
            prepare(own, parts.data() + piece * size);
            run(own, piece);
        });
        for (std::int64_t piece = 1; piece < PIECES; ++piece)
            for (std::int64_t k = 0; k < size; ++k) parts[k] += parts[piece * size + k];
        parts.resize(size);
        return parts;
    }

    Doubles positions, widths, spreads;
    ChargeTask task;
    int threads;
    Kernels kernels;
};

// All pairs, with the images of a few translations.
class ChargeSums : public ChargePairSums {
  public:
    ChargeSums(Doubles positions, Doubles widths, Doubles spreads, const Doubles& images, double cutoff,
               double inner, double outer, int core, int threads)
        : ChargePairSums(positions, widths, spreads, cutoff, inner, outer, core, threads) {
        task.n_images = images.size() / 3;
        require(task.n_images > 0 && has_shape(images, 3, task.n_images), "expected images (3, n_images)");
        for (int axis = 0; axis < 3; ++axis) {
            const double* row = images.data() + axis * task.n_images;
            translations[axis].assign(row, row + task.n_images);
            translations[axis].resize(task.n_images + REGISTER, 0.0);
        }
        task.images = {translations[0].data(), translations[1].data(), translations[2].data()};
    }

    // A and B, each (n_atoms, n_atoms).
    py::tuple matrices() const {
        const std::int64_t n = task.n_atoms;
        Doubles A({n, n}), B({n, n});
        for (Doubles* each : {&A, &B}) std::fill_n(each->mutable_data(), n * n, 0.0);
        ChargeTask own = task;
        own.A = A.mutable_data();
        own.B = B.mutable_data();
        {
            py::gil_scoped_release release;
            parallel_pieces(PIECES, threads, [&](std::int64_t piece) { run(own, piece); });
            for (double* each : {own.A, own.B}) mirror(each, n);
        }
        return py::make_tuple(A, B);
    }

    // A right and B right without storing the matrices, (2, n_atoms).
    Doubles products(const Doubles& right) const {
        const std::int64_t n = task.n_atoms, two = 2;
        require(right.size() == n, "expected charges (n_atoms,)");
        Doubles found({two, n});
        {
            py::gil_scoped_release release;
            const auto sums = summed(2 * n, [&](ChargeTask& own, double* part) {
                own.right = right.data();
                own.product_A = part;
                own.product_B = part + n;
            });
            std::copy(sums.begin(), sums.end(), found.mutable_data());
        }
        return found;
    }

    // Derivatives of A, or `screened` of A + B, above the diagonal and on it by r_j and by the strain in
    // Voigt's order, (9, n_atoms, n_atoms).
    Doubles slopes(bool screened) const {
        const std::int64_t n = task.n_atoms, parts = 9;
        Doubles found({parts, n, n});
        std::fill_n(found.mutable_data(), parts * n * n, 0.0);
        ChargeTask own = task;
        own.slopes = found.mutable_data();
        own.screened = screened;
        {
            py::gil_scoped_release release;
            parallel_pieces(PIECES, threads, [&](std::int64_t piece) { run(own, piece); });
        }
        return found;
    }

  private:
    void run(ChargeTask own, std::int64_t piece) const override {
        own.first = piece;
        own.step = PIECES;
        kernels.charges(own);
    }

    std::array<std::vector<double>, 3> translations;
};

// The pairs of a neighbor list: A and B are sparse matrices.
class NearCharges : public ChargePairSums {
  public:
    NearCharges(Doubles positions, Doubles cell, Doubles widths, Doubles spreads, double radius, double reach,
                double inner, double outer, int core, int threads)
        : ChargePairSums(positions, widths, spreads, 0.0, inner, outer, core, threads),
          cell(cell),
          numbers(widths.size(), 1),
          atoms{task.n_atoms, positions.data(), positions.data(), cell.data(), numbers.data()},
          search(kernels, atoms, radius) {
        require(has_shape(cell, 3, 3) && spreads.size() == widths.size(),
                "expected cell (3, 3), spreads (n,)");
        task.reach = reach;
        py::gil_scoped_release release;
        for (Rows* each : {&A, &B}) each->resize(PIECES);
        parallel_pieces(PIECES, threads, [&](std::int64_t piece) { fill(piece); });
    }

    Doubles times_A(const Doubles& right) const { return product(A, right); }
    Doubles times_B(const Doubles& right) const { return product(B, right); }

  private:
    struct RowsOfPiece {
        std::vector<std::int64_t> ends;
        std::vector<std::int32_t> columns;
        std::vector<double> values;
    };
    using Rows = std::vector<RowsOfPiece>;

    Range rows_of(std::int64_t piece) const {
        return {task.n_atoms * piece / PIECES, task.n_atoms * (piece + 1) / PIECES};
    }

    // Calls visit(task) for some rows after the other, whose neighbors it has.
    template <typename Visit>
    void visit_rows(ChargeTask own, std::int64_t piece, Visit visit) const {
        const Range rows = rows_of(piece);
        for (std::int64_t begin = rows.begin; begin < rows.end; begin += AT_ONCE) {
            own.first = begin;
            own.last = std::min(begin + AT_ONCE, rows.end);
            const auto found = search.find({own.first, own.last});
            own.counts = found.counts.data();
            own.neighbors = found.neighbors.data();
            own.vectors = found.vectors.data();
            visit(own, std::int64_t(found.neighbors.size()));
        }
    }

    void run(ChargeTask own, std::int64_t piece) const override {
        visit_rows(own, piece, [&](const ChargeTask& rows, std::int64_t) { kernels.charges(rows); });
    }

    void fill(std::int64_t piece) {
        std::vector<std::int32_t> columns[2];
        std::vector<double> values[2];
        std::vector<std::int64_t> ends[2];
        visit_rows(task, piece, [&](ChargeTask own, std::int64_t most) {
            SparseRows sparse[2];
            RowsOfPiece* pieces[] = {&A[piece], &B[piece]};
            for (int m = 0; m < 2; ++m) {
                columns[m].resize(std::max<std::size_t>(columns[m].size(), most));
                values[m].resize(std::max<std::size_t>(values[m].size(), most));
                ends[m].resize(own.last - own.first);
                sparse[m] = {0, columns[m].data(), values[m].data()};
            }
            own.sparse_A = sparse, own.sparse_B = sparse + 1;
            own.ends_A = ends[0].data(), own.ends_B = ends[1].data();
            kernels.charges(own);
            for (int m = 0; m < 2; ++m) {
                RowsOfPiece& rows = *pieces[m];
                const std::int64_t before = std::int64_t(rows.columns.size());
                for (const std::int64_t end : ends[m]) rows.ends.push_back(before + end);
                rows.columns.insert(rows.columns.end(), sparse[m].columns, sparse[m].columns + sparse[m].n);
                rows.values.insert(rows.values.end(), sparse[m].values, sparse[m].values + sparse[m].n);
            }
        });
    }

    Doubles product(const Rows& matrix, const Doubles& right) const {
        const std::int64_t n = task.n_atoms;
        require(right.size() == n, "expected charges (n_atoms,)");
        Doubles found(n);
        const double* x = right.data();
        double* total = found.mutable_data();
        py::gil_scoped_release release;
        std::vector<double> parts(PIECES * n, 0.0);
        parallel_pieces(PIECES, threads, [&](std::int64_t piece) {
            const RowsOfPiece& rows = matrix[piece];
            double* y = parts.data() + piece * n;
            std::int64_t p = 0, i = rows_of(piece).begin;
            for (const std::int64_t end : rows.ends) {
                double sum = 0.0;
                const double own = x[i];
                for (; p < end; ++p) {
                    const std::int32_t j = rows.columns[p];
                    sum += rows.values[p] * x[j];
                    if (j != i) y[j] += rows.values[p] * own;
                }
                y[i++] += sum;
            }
        });
        std::fill_n(total, n, 0.0);
        for (std::int64_t piece = 0; piece < PIECES; ++piece)
            for (std::int64_t i = 0; i < n; ++i) total[i] += parts[piece * n + i];
        return found;
    }

    static constexpr std::int64_t AT_ONCE = 64;
    Doubles cell;
    std::vector<std::int64_t> numbers;  // of one element: the order of neighbors does not matter
    Atoms atoms;
    NeighborSearch search;
    Rows A, B;
};

// The weights of atoms on a periodic mesh, by B-splines of an even order.
class ChargeMesh {
  public:
    // fractional: (n_atoms, 3) positions over the lattice vectors
    ChargeMesh(const Doubles& fractional, std::array<std::int64_t, 3> shape, int order, int threads)
        : threads(threads), kernels(choose_kernels()) {
        const std::int64_t n = fractional.size() / 3;
        require(has_shape(fractional, n, 3), "expected fractional positions (n, 3)");
        require(order >= 4 && order <= largest_mesh_order && order % 2 == 0, "the order of the mesh");
        for (const std::int64_t points : shape) require(points >= order, "a mesh of too few points");
        task.n_atoms = n;
        task.order = order;
        std::copy(shape.begin(), shape.end(), task.shape);
        starts.resize(3 * n), rows.resize(n), weights.resize(3 * order * n), slopes.resize(3 * order * n);
        place(fractional.data());
        task.starts = starts.data(), task.rows = rows.data();
        task.weights = weights.data(), task.slopes = slopes.data();
    }

    // The mesh of charges (n_atoms,), (shape).
    Doubles spread(const Doubles& charges) const {
        require(charges.size() == task.n_atoms, "expected charges (n_atoms,)");
        const std::int64_t n_rows = task.shape[0] * task.shape[1], n = task.shape[2], stride = n + task.order;
        Doubles found({task.shape[0], task.shape[1], n});
        double* out = found.mutable_data();
        py::gil_scoped_release release;
        std::vector<double> wide(n_rows * stride, 0.0);
        MeshTask own = task;
        own.charges = charges.data();
        own.mesh = wide.data();
        kernels.mesh(own);
        for (std::int64_t row = 0; row < n_rows; ++row) {
            const double* from = wide.data() + row * stride;
            std::copy_n(from, n, out + row * n);
            for (std::int64_t z = 0; z < task.order; ++z) out[row * n + z] += from[n + z];
        }
        return found;
    }

    // The values of a mesh at the atoms, (n_atoms,).
    Doubles values(const Doubles& mesh) const { return interpolated(mesh, nullptr); }

    // Their derivatives by the fractional positions, (n_atoms, 3).
    Doubles gradients(const Doubles& mesh) const {
        const std::int64_t three = 3;
        Doubles found({task.n_atoms, three});
        double* D = found.mutable_data();
        interpolated(mesh, D);
        for (std::int64_t i = 0; i < task.n_atoms; ++i)
            for (int c = 0; c < 3; ++c) D[3 * i + c] *= double(task.shape[c]);
        return found;
    }

  private:
    // Atoms one after the other on the mesh: their rows of points stay in the cache.
    void place(const double* fractional) {
        const std::int64_t n = task.n_atoms, *shape = task.shape;
        std::vector<double> points(3 * n);
        std::vector<std::int64_t> keys(n);
        for (std::int64_t i = 0; i < n; ++i) {
            for (int c = 0; c < 3; ++c) {
                double u = fractional[3 * i + c];
                u = (u - std::floor(u)) * double(shape[c]);
                points[3 * i + c] = u < double(shape[c]) ? u : 0.0;
            }
            const double* u = points.data() + 3 * i;
            keys[i] = (std::int64_t(u[0]) * shape[1] + std::int64_t(u[1])) * shape[2] + std::int64_t(u[2]);
            rows[i] = std::int32_t(i);
        }
        std::stable_sort(rows.begin(), rows.end(), [&](auto a, auto b) { return keys[a] < keys[b]; });
        const int order = task.order;
        for (std::int64_t slot = 0; slot < n; ++slot)
            for (int c = 0; c < 3; ++c) {
                const double u = points[3 * std::int64_t(rows[slot]) + c];
                const std::int64_t below = std::int64_t(u);
                starts[3 * slot + c] = std::int32_t((below - order / 2 + 1 + shape[c]) % shape[c]);
                splines(u - double(below), weights.data() + (3 * slot + c) * order,
                        slopes.data() + (3 * slot + c) * order);
            }
    }

    // M_order(x + order - 1 - k) for k = 0 ... order - 1 (0 <= x < 1), and the derivatives by x, with
    // M_n(u) = [u M_(n-1)(u) + (n - u) M_(n-1)(u - 1)] / (n - 1) and M_n'(u) = M_(n-1)(u) - M_(n-1)(u - 1).
    void splines(double x, double* weight, double* slope) const {
        const int order = task.order;
        double m[largest_mesh_order] = {1.0};  // m[k] = M_n(x + k)
        for (int n = 2; n <= order; ++n) {
            if (n == order)
                for (int k = 0; k < order; ++k)
                    slope[order - 1 - k] = (k < order - 1 ? m[k] : 0.0) - (k ? m[k - 1] : 0.0);
            for (int k = n - 1; k >= 0; --k)
                m[k] = ((x + k) * (k < n - 1 ? m[k] : 0.0) + (n - x - k) * (k ? m[k - 1] : 0.0)) / (n - 1);
        }
        for (int k = 0; k < order; ++k) weight[order - 1 - k] = m[k];
    }

    Doubles interpolated(const Doubles& mesh, double* gradients) const {
        const std::int64_t n_rows = task.shape[0] * task.shape[1], n = task.shape[2], stride = n + task.order;
        require(mesh.size() == n_rows * n, "expected a mesh of the shape of this one");
        Doubles found(task.n_atoms);
        const double* from = mesh.data();
        double* out = found.mutable_data();
        py::gil_scoped_release release;
        std::vector<double> wide(n_rows * stride);
        for (std::int64_t row = 0; row < n_rows; ++row) {
            std::copy_n(from + row * n, n, wide.data() + row * stride);
            std::copy_n(from + row * n, task.order, wide.data() + row * stride + n);
        }
        parallel({0, task.n_atoms}, threads, [&](Range atoms) {
            MeshTask own = task;
            own.n_atoms = atoms.end - atoms.begin;
            own.starts += 3 * atoms.begin, own.rows += atoms.begin;
            own.weights += 3 * task.order * atoms.begin, own.slopes += 3 * task.order * atoms.begin;
            own.mesh = wide.data();
            own.values = out;
            own.gradients = gradients;
            kernels.mesh(own);
        });
        return found;
    }

    MeshTask task;
    std::vector<std::int32_t> starts, rows;
    std::vector<double> weights, slopes;
    int threads;
    Kernels kernels;
};

}  // namespace

void bind_charges(py::module_& module) {
    py::class_<ChargeSums>(module, "ChargeSums")
        .def(py::init<Doubles, Doubles, Doubles, Doubles, double, double, double, int, int>())
        .def("matrices", &ChargeSums::matrices)
        .def("products", &ChargeSums::products)
        .def("derivatives", &ChargeSums::derivatives)
        .def("slopes", &ChargeSums::slopes);
    py::class_<NearCharges>(module, "NearCharges")
        .def(py::init<Doubles, Doubles, Doubles, Doubles, double, double, double, double, int, int>())
        .def("times_A", &NearCharges::times_A)
        .def("times_B", &NearCharges::times_B)
        .def("derivatives", &NearCharges::derivatives);
    py::class_<ChargeMesh>(module, "ChargeMesh")
        .def(py::init<Doubles, std::array<std::int64_t, 3>, int, int>())
        .def("spread", &ChargeMesh::spread)
        .def("values", &ChargeMesh::values)
        .def("gradients", &ChargeMesh::gradients);
    module.def("physical_memory", [] { return double(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE); });
}

}  // namespace bnnp

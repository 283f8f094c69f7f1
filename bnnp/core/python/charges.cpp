// Sums over pairs of Gaussian charges, as Python has them.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/dispatch.hpp"
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

class ChargeSums {
  public:
    ChargeSums(Doubles positions, Doubles widths, const Doubles& images, double eta, double cutoff,
               double inner, double outer, int core, int threads)
        : positions(positions), widths(widths), threads(threads), kernels(choose_kernels()) {
        task.n_atoms = widths.size();
        require(has_shape(positions, task.n_atoms, 3), "expected positions (n, 3) and widths (n,)");
        task.n_images = images.size() / 3;
        require(task.n_images > 0 && has_shape(images, 3, task.n_images), "expected images (3, n_images)");
        for (int axis = 0; axis < 3; ++axis) {
            const double* row = images.data() + axis * task.n_images;
            translations[axis].assign(row, row + task.n_images);
            translations[axis].resize(task.n_images + REGISTER, 0.0);
        }
        task.images = {translations[0].data(), translations[1].data(), translations[2].data()};
        task.positions = positions.data();
        task.widths = widths.data();
        task.eta = eta;
        task.cutoff = cutoff;
        task.inner = inner;
        task.outer = outer;
        task.core = core;
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

    // Forces (n_atoms, 3) and virial (3, 3) of 1/2 left (A right + B left).
    py::tuple derivatives(const Doubles& left, const Doubles& right) const {
        const std::int64_t n = task.n_atoms, three = 3, size = 3 * n + 6;
        require(left.size() == n && right.size() == n, "expected charges (n_atoms,)");
        Doubles forces({n, three}), virial({three, three});
        std::vector<double> sums(PIECES * size, 0.0);
        double *F = forces.mutable_data(), *W = virial.mutable_data();
        {
            py::gil_scoped_release release;
            parallel_pieces(PIECES, threads, [&](std::int64_t piece) {
                ChargeTask own = task;
                own.left = left.data();
                own.right = right.data();
                own.forces = sums.data() + piece * size;
                own.virial = own.forces + 3 * n;
                run(own, piece);
            });
            std::fill_n(F, 3 * n, 0.0);
            std::fill_n(W, 9, 0.0);
            for (std::int64_t piece = 0; piece < PIECES; ++piece) {
                for (std::int64_t k = 0; k < 3 * n; ++k) F[k] += sums[piece * size + k];
                for (std::int64_t k = 0; k < 9; ++k) W[k] += sums[piece * size + 3 * n + VOIGT[k]];
            }
        }
        return py::make_tuple(forces, virial);
    }

    // Derivatives of A, or `screened` of A + B, above the diagonal and on it by r_j and by the strain in Voigt's
    // order, (9, n_atoms, n_atoms).
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
    void run(ChargeTask own, std::int64_t piece) const {
        own.first = piece;
        own.step = PIECES;
        kernels.charges(own);
    }

    Doubles positions, widths;
    std::array<std::vector<double>, 3> translations;
    ChargeTask task;
    int threads;
    Kernels kernels;
};

}  // namespace

void bind_charges(py::module_& module) {
    py::class_<ChargeSums>(module, "ChargeSums")
        .def(py::init<Doubles, Doubles, Doubles, double, double, double, double, int, int>())
        .def("matrices", &ChargeSums::matrices)
        .def("derivatives", &ChargeSums::derivatives)
        .def("slopes", &ChargeSums::slopes);
}

}  // namespace bnnp

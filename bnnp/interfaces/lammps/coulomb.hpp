// Interaction of the Gaussian charges of all atoms, shared among the ranks, and charges in equilibrium: the
// formulas of bnnp/charges/coulomb.py and bnnp/charges/equilibration.py.
//
// The rows of the matrices A and A + B at and right of the diagonal are divided into panels, which the ranks
// have in turn. Each rank computes its panels; the factor R of A + J = R^T R is made panel by panel, which
// its rank sends to all others. A constant added to A changes no charges that add up to a given number, and
// makes A + J definite where it has to be. Units of the potential, without 1 / (4 pi epsilon) if not said.
#pragma once

#include <mpi.h>

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/dispatch.hpp"
#include "potential/electrostatics.hpp"

namespace bnnp {

// All atoms in one order on every rank; vectors of the cell are rows.
struct ChargedAtoms {
    std::vector<std::int64_t> tags;
    std::vector<int> elements;
    std::vector<double> positions;  // (n, 3)
    std::array<std::array<double, 3>, 3> cell{};
    std::array<bool, 3> periodic{};  // all, two (a slab) or none

    std::int64_t n() const { return std::int64_t(tags.size()); }
    int axes() const { return periodic[0] + periodic[1] + periodic[2]; }
};

// Some columns over all atoms, (n_columns, n), one after the other.
using Columns = std::vector<double>;

class Coulomb {
  public:
    // Computes the panels of this rank. FileError if the precision of the Ewald sum cannot be reached.
    Coulomb(const Kernels&, MPI_Comm, const Electrostatics&, const ChargedAtoms&);

    Coulomb(const Coulomb&) = delete;  // the task has addresses of it

    // The factor of A + J, J in units of A; the index of an atom where it is not positive definite, or -1.
    std::int64_t factorize(const std::vector<double>& J);
    // In place the x with (A + J) x + lambda = x that add up to `total`, of each column.
    void solve(Columns& x, double total) const;
    // (A + B) x of each column
    Columns potentials(const Columns& x) const;
    // Adds this rank's share of the forces (n, 3) and of dE/d(strain) xx yy zz xy xz yz of
    // 1/2 left (A right + B left), both times `scale`.
    void add_derivatives(const double* left, const double* right, double scale, double* forces,
                         double* virial) const;

  private:
    struct Panel {
        std::int64_t begin = 0, end = 0, stride = 0;  // rows; of the columns from `begin` on
        std::vector<double> A, sum;                   // (rows, stride); sum: A + B

        double* row(std::vector<double>& matrix, std::int64_t i) { return &matrix[(i - begin) * stride]; }
        const double* row(const std::vector<double>& matrix, std::int64_t i) const {
            return &matrix[(i - begin) * stride];
        }
    };

    const Kernels kernels;
    const MPI_Comm world;
    int me = 0, ranks = 1;
    std::int64_t n, padded_n, height;  // atoms, rows of a panel
    ChargeTask task;
    std::vector<double> positions, widths, spreads;
    std::array<std::vector<double>, 3> images;
    double volume = 0.0, eta = 0.0;              // 0 of a molecule
    std::vector<std::array<double, 3>> vectors;  // of the waves
    std::vector<double> waves;       // (2 waves, padded_n): cosines and sines times sqrt of their factors
    std::array<double, 3> normal{};  // of a slab, else 0
    std::vector<double> heights;     // (n,) of a slab, from their mean
    std::vector<Panel> own;
    std::vector<Panel> factor;  // all of R, in A
    Columns response;           // of x to lambda

    void set_cell(const Electrostatics&, const ChargedAtoms&);
    void set_waves(const std::array<std::array<double, 3>, 3>& reciprocal, const Ewald&,
                   const std::array<int, 3>& most);
    void fill(Panel&);
    bool reduce(Panel&) const;
    void substitute(double* x) const;
    int owner(std::int64_t panel) const { return int(panel % ranks); }
    std::int64_t n_panels() const { return (n + height - 1) / height; }
    Panel empty(std::int64_t number) const;
    ChargeTask row_task(std::int64_t i) const;
    void add_wave_derivatives(const double* left, const double* right, double scale, double* forces,
                              double* virial) const;
};

}  // namespace bnnp

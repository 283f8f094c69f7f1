// Energies and pair derivatives of one block of atoms after the other, in the units of the potential.
//
// A block is filled center by center with its neighbors and then evaluated at once. Some tens of atoms keep
// all arrays in the cache, whatever the size of the system.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/dispatch.hpp"
#include "potential.hpp"

namespace bnnp {

// Where the forces of every sample are added up.
struct SampleRows {
    const std::int32_t *centers = nullptr, *neighbors = nullptr;  // row of each, in the order of filling
    double* forces = nullptr;                                     // (rows, 3, padded samples)
};

class Evaluator {
  public:
    explicit Evaluator(const Potential&);

    // ---- filling: a center, then its neighbors, element indices ----
    void clear();
    void add_center(int element);
    void add_neighbor(int element, double x, double y, double z);  // r_neighbor - r_center, length

    // Fills the results below and, if there are any, adds to the forces of the samples.
    void evaluate(const SampleRows& rows);

    int n_centers() const { return int(centers.size()); }
    // The first pair of a center; first(n_centers()) is the number of pairs.
    std::int64_t first(int center) const { return offsets[center]; }
    // r_neighbor - r_center
    const double* vector(std::int64_t pair) const { return &vectors[3 * pair]; }
    // (samples,), without free atoms
    const double* energies(int center) const { return &energy[std::size_t(center) * potential.samples]; }
    // dE/dD of the mean energy
    const double* derivative(std::int64_t pair) const { return &dE_dD[3 * pair]; }

    // Calls found(function, value, minimum, maximum) for each symmetry function of a center that is beyond
    // its training range.
    template <typename Found>
    void outside(int center, Found found) const {
        if (potential.minimum.empty()) return;
        const int element = centers[center], width = potential.plan.width;
        const double* G = &values[std::size_t(center) * width];
        const double* low = &potential.minimum[std::size_t(element) * width];
        const double* high = &potential.maximum[std::size_t(element) * width];
        for (int f = 0; f < potential.plan.elements[element].n_functions; ++f)
            if (G[f] < low[f] - TOLERANCE || G[f] > high[f] + TOLERANCE) found(f, G[f], low[f], high[f]);
    }

    const char* kernel() const { return kernels.name; }

  private:
    static constexpr double TOLERANCE = 1000.0 * 2.220446049250313e-16;  // n2p2's

    const Potential& potential;
    const Kernels kernels;
    const double scale;  // network output to energy
    std::vector<std::int32_t> centers, neighbor_types, types, neighbors;
    std::vector<std::int64_t> offsets;
    std::vector<double> vectors, values, inputs, energy, gradient, delta, dE_dD, factors;

    void scale_inputs();
    void scale_outputs();
    void sample_forces(const PairList&, const SampleRows&);
};

}  // namespace bnnp

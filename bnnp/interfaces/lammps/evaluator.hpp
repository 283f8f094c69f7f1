// Energies and pair derivatives of one block of atoms after the other, in the units of the potential.
//
// A block is filled center by center with its neighbors and then evaluated at once. Some tens of atoms keep
// all arrays in the cache, whatever the size of the system.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/dispatch.hpp"
#include "potential/potential.hpp"

namespace bnnp {

// Where the forces of every sample are added up.
struct SampleRows {
    const std::int32_t *centers = nullptr, *neighbors = nullptr;  // row of each, in the order of filling
    double* forces = nullptr;                                     // (rows, 3, sample_row)
    double* last_layer = nullptr;                                 // (rows, 3, last_layer_row)
};

class Evaluator {
  public:
    explicit Evaluator(const PotentialData&);

    // ---- filling: a center, then its neighbors, element indices ----
    void clear();
    void add_center(int element);
    void add_neighbor(int element, double x, double y, double z);  // r_neighbor - r_center, length

    // Fills the results below and, if there are any, adds to the forces of the samples. `parts`: also those
    // of a hybrid calibration.
    void evaluate(const SampleRows& rows, bool parts);

    // The same in two steps, for networks that need the charges of all atoms between them.
    PairList find_functions();
    // `energies` (n_centers(), samples), `gradient` (n_centers(), width()) by the symmetry functions `values`
    // of the mean, `gradients` those of the samples, one every `n_rows` centers, or null.
    void differentiate(const double* values, const double* energies, const double* gradient,
                       const double* gradients, std::int64_t n_rows, const SampleRows& rows);
    void add_energy(int center, double value);  // to all samples

    int n_centers() const { return int(centers.size()); }
    // The first pair of a center; first(n_centers()) is the number of pairs.
    std::int64_t first(int center) const { return offsets[center]; }
    // r_neighbor - r_center
    const double* vector(std::int64_t pair) const { return &vectors[3 * pair]; }
    // (samples,), without free atoms
    const double* energies(int center) const { return &energy[std::size_t(center) * potential.samples]; }
    // (n_last_layer,) u_k (h - mean) of the last hidden nodes h, whose squares add up to the variance of the
    // last layer; of other elements 0
    const double* last_layer(int center) const { return &probed[std::size_t(center) * probes.n_samples]; }
    int element(int center) const { return centers[center]; }
    // unscaled symmetry functions, (width(),)
    const double* functions(int center) const { return &values[std::size_t(center) * plan.width]; }
    int width() const { return plan.width; }
    // (width(),) as the networks have them, and what a derivative by them is multiplied with
    const double* scaled_functions(int center) const { return &inputs[std::size_t(center) * plan.width]; }
    const double* input_factors(int element) const { return &factor[std::size_t(element) * plan.width]; }
    const Kernels& all_kernels() const { return kernels; }
    // d^2 from the training set
    double distance_square(int center) const { return far[center]; }
    // x_r, how far its neighbors are closer than in training
    double closeness(int center) const { return near[center]; }
    // Whether its surroundings have what was not in the training set at all.
    bool is_unseen(int center) const { return unseen[center]; }
    // The part of D^2 of the atoms of an element with this mean of the symmetry functions, (width(),).
    double structure_square(int element, const double* mean) const {
        return distances[element].structure_square(mean);
    }
    // dE/dD of the mean energy
    const double* derivative(std::int64_t pair) const { return &dE_dD[3 * pair]; }

    // Calls found(function, value) for each symmetry function of a center that is beyond its training range.
    template <typename Found>
    void outside(int center, Found found) const {
        const Ranges& ranges = potential.elements[centers[center]].ranges;
        const double* G = &values[std::size_t(center) * plan.width];
        for (int f = 0; f < int(ranges.minimum.size()); ++f)
            if (G[f] < ranges.minimum[f] - TOLERANCE || G[f] > ranges.maximum[f] + TOLERANCE) found(f, G[f]);
    }

    double radius() const { return largest_radius; }  // largest cutoff, length
    int sample_row() const { return networks.sample_row(); }
    int n_last_layer() const { return distances.empty() ? 0 : probes.n_samples; }
    int last_layer_row() const { return probes.sample_row(); }
    const char* kernel() const { return kernels.name; }

  private:
    static constexpr double TOLERANCE = 1000.0 * 2.220446049250313e-16;  // n2p2's

    const PotentialData& potential;
    const Kernels kernels;
    Plan plan;
    NetworkPlan networks;
    // Of a hybrid calibration: networks whose samples are the u_k h of all elements in turn, and the
    // distances of each element.
    NetworkPlan probes;
    std::vector<double> probe_means;  // (n_elements, n_last_layer) over the training atoms
    std::vector<Distance> distances;
    double largest_radius = 0.0;
    const double scale;                         // network output to energy
    std::vector<double> shift, factor, offset;  // (n_elements, width): scaled = (G - shift) factor + offset
    std::vector<double> slopes;                 // (n_elements, width) factor times scale

    std::vector<std::int32_t> centers, neighbor_types, types, neighbors;
    std::vector<std::int64_t> offsets;
    std::vector<double> vectors, values, inputs, energy, gradient, delta, dE_dD, probed, probe_delta, far,
        near;
    std::vector<bool> unseen, present;  // atoms; elements around one

    void set_scaling();
    void scale_inputs();
    void scale_outputs();
    PairList pair_list();
    void reverse(const PairList&);
    void add_repulsion();
    void set_probes();
    void find_parts(const PairList&, const SampleRows&);
    void sample_forces(const PairList&, const NetworkPlan&, const SampleRows&, SampleForceTask) const;
};

}  // namespace bnnp

// Distance of an atom from the training set, and directions of the last hidden nodes, for the hybrid
// uncertainty; the formulas are those of bnnp.uncertainty.training_statistics.
#pragma once

#include <vector>

namespace bnnp {

// Columns of scaling.data; sigma is NaN where the file has none.
struct Ranges {
    std::vector<double> minimum, maximum, mean, sigma;
};

// Of the training atoms of one element.
struct TrainingStatistics {
    std::vector<double> mean, covariance;                  // (n,), (n, n) of the symmetry functions
    std::vector<double> feature_mean, feature_covariance;  // (h,), (h, h) of the last hidden nodes
    std::vector<double> structure_covariance;              // (n, n) of the means of a structure
    std::vector<double> shortest;  // (n_elements,) to a neighbor of each element, length; 0 if never seen

    // Rows u_k, (h, h), with sum u u^T the inverse of the covariance of the last hidden nodes.
    std::vector<double> directions() const;
};

class Distance {
  public:
    Distance(const TrainingStatistics&, const Ranges&);

    // d^2 of an atom with these symmetry functions, (n,), but for the distances to its neighbors.
    double square(const double* G) const;
    // The part of D^2 of atoms with this mean of the symmetry functions, (n,).
    double structure_square(const double* mean_G) const;
    // x_r of a neighbor of this element, at this distance squared.
    double closeness(int element, double square) const;
    // Whether a function that never varied does so now.
    bool unseen(const double* G) const;
    // Whether an element never was a neighbor.
    bool never_met(int element) const { return knows_neighbors && shortest[element] == 0.0; }

  private:
    std::vector<double> minimum, maximum, unit;          // (n,) x_f = (beyond the range) / unit
    std::vector<bool> constant;                          // functions that never varied
    std::vector<int> vary;                               // functions that have a variance
    std::vector<double> mean;                            // (m,) of these
    std::vector<double> whitening, structure_whitening;  // (m, m) for atoms and for means
    std::vector<double> shortest;
    bool knows_neighbors;  // unless the element never had one

    double excess(int f, const double* G) const;
    std::vector<double> whitening_of(const std::vector<double>& covariance) const;
    double whitened(const std::vector<double>& whitening, const double* G) const;
};

}  // namespace bnnp

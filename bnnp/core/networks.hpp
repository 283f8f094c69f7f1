// Element networks with Monte Carlo dropout, and the stored-derivative sweeps.
//
// A sample is one network: hidden units are switched off by a mask shared by all atoms. Without dropout on the
// inputs the first layer is the same for all samples and is computed once; the rest is a product of small matrices
// with the samples as the contiguous index. Y. Gal, Z. Ghahramani, ICML 2016 (arXiv:1506.02142);
// M. Wen, E. B. Tadmor, npj Comput. Mater. 6, 124 (2020).
#pragma once

#include <cstdint>
#include <vector>

namespace bnnp {

struct Layer {
    int n_in = 0, n_out = 0;
    char activation = 'l';            // RuNNer's letters
    std::vector<double> weights;      // (n_in, n_out)
    std::vector<double> biases;       // (n_out,)
    std::vector<double> masks;        // (n_in, n_samples) on this layer's input: 0 or 1/(1-p); empty: no dropout
};

struct NetworkPlan {
    int n_samples = 1, width = 0, first_layer = 0;  // first_layer: largest n_out of the first layers
    bool normalize_nodes = false;                   // (b + sum w y) / n_in
    std::vector<std::vector<Layer>> elements;
};

struct SampleTask {
    const std::int32_t* types = nullptr;
    const double* inputs = nullptr;  // (n_atoms, width) scaled symmetry functions
    double* energies = nullptr;      // (n_atoms, n_samples)
    double* gradient = nullptr;      // (n_atoms, width) mean over samples of dE/dinput, or null
    double* delta = nullptr;         // (n_atoms, first_layer, n_samples) dE/d(pre-activation of layer 1), or null
};

struct SampleForceTask {
    const double* factors = nullptr;              // (n_elements, width) d(scaled)/d(unscaled) symmetry function
    const double* delta = nullptr;                // of SampleTask
    const std::int64_t* block_offsets = nullptr;  // (n_pairs + 1,)
    std::int64_t first_pair = 0;                  // pair that pair_forces starts with
    double* pair_forces = nullptr;                // (pairs of the centres worked on, 3, n_samples) dE_s/dD
};

struct BlockTask {
    const void* blocks = nullptr;                // per pair (3, n_sensitive)
    bool blocks_double = false;
    const std::int64_t* block_offsets = nullptr; // (n_pairs + 1,)
    const double* dE_dG = nullptr;               // vjp input (n_atoms, width)
    double* dE_dD = nullptr;                     // vjp output (n_pairs, 3)
    const double* dD = nullptr;                  // jvp input (n_pairs, 3)
    double* G = nullptr;                         // jvp output (n_atoms, width)
};

}  // namespace bnnp

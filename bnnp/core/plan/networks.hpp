// Element networks with Monte Carlo dropout.
//
// A sample is one network: hidden units are switched off by a mask shared by all atoms. Y. Gal, Z.
// Ghahramani, ICML 2016 (arXiv:1506.02142); M. Wen, E. B. Tadmor, npj Comput. Mater. 6, 124 (2020). Below the
// first layer whose input is masked, all samples are the same network. That layer, whose input y is still the
// same for all samples, is one product for all:
//
//     z_s = b + k W^T y - k sum_{u dropped in s} W_u y_u,    k = 1/(1 - p),
//
// a few subtractions a sample, and so is its mean gradient. Only the layers above need a product of matrices.
//
// Centered samples are those of a network that was trained without dropout. Masks put c + (y - c) m in place
// of y m, with the mean c of a unit over the training atoms: the same with a shift of z in every sample,
// sum_u W_u c_u (1 - m_u). And all samples are shifted so that their mean is the plain network, energies and
// derivatives alike: E_s - mean_s E_s + E.
//
// Rows of matrices are padded with zeros to whole registers of every instruction set.
#pragma once

#include <vector>

namespace bnnp {

constexpr int row_unit = 8;  // numbers of double in the widest register

constexpr int padded(int n) { return (n + row_unit - 1) / row_unit * row_unit; }

// A layer as the files have it.
struct LayerSpec {
    int n_in = 0, n_out = 0;
    char activation = 'l';        // RuNNer's letters
    std::vector<double> weights;  // (n_in, n_out)
    std::vector<double> biases;   // (n_out,)
    std::vector<double> masks;    // (n_in, n_samples) on the input, 0 or one common factor; empty: no dropout
    std::vector<double> means;    // (n_in,) of the input over the training atoms, or empty
};

// A layer as the kernels use it; normalize_nodes is in the weights and biases.
struct Layer {
    int n_in = 0, n_out = 0;
    char activation = 'l';
    std::vector<double> weights;     // (n_in, padded n_out)
    std::vector<double> transposed;  // (n_out, padded n_in)
    std::vector<double> biases;      // (padded n_out,)
    std::vector<double> masks;       // (n_samples, padded n_in); empty: no dropout
    std::vector<double> shifts;      // (n_samples, padded n_out), added to z; empty: none
    double kept = 1.0;               // the factor of the units that are not dropped
    std::vector<int> dropped;        // the units dropped in sample s: dropped[first_dropped[s]] and following
    std::vector<int> first_dropped;  // (n_samples + 1,)

    int row() const { return padded(n_out); }
    int input_row() const { return padded(n_in); }
};

struct ElementNetwork {
    std::vector<Layer> layers;
    int first_mask = 0;  // the first layer whose input is masked; the number of layers if there is none
};

struct NetworkPlan {
    int n_samples = 1, width = 0;  // width: columns of the inputs
    int span = 0;                  // of each sample's gradient, see SampleTask
    bool masked_inputs = false;    // of any element
    bool centered = false;
    std::vector<ElementNetwork> elements;

    int sample_row() const { return padded(n_samples); }
};

// Throws std::invalid_argument for layers or masks that do not fit together.
NetworkPlan plan_networks(const std::vector<std::vector<LayerSpec>>& elements, int n_samples, int width,
                          bool normalize_nodes, bool centered = false);

}  // namespace bnnp

// A trained potential as its files have it: input.nn, scaling.data, weights.XXX.data and uncertainty.data,
// with charges also weightse.XXX.data, hardness.XXX.data and uncertaintye.data, in plain numbers and in the
// units of the potential.
//
// Built into the Python module and into the plugin of LAMMPS: all C++ that knows these formats is in this
// folder. The line `# potential` of each file is compared with what was read, so an edited, mixed or damaged
// directory is refused. Of input.nn only the keywords of a finished potential are known: those of the
// directory that mode 2 and the option --export write.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "plan/networks.hpp"
#include "plan/symmetry_functions.hpp"
#include "potential/calibration.hpp"
#include "potential/electrostatics.hpp"
#include "potential/repulsion.hpp"
#include "potential/text.hpp"
#include "potential/training_statistics.hpp"

namespace bnnp {

struct SymmetryFunction {
    FunctionSpec spec;       // neighbors are indices of elements, the column is the place in n2p2's order
    std::string subtype;     // of the compact types
    std::string definition;  // the words behind symfunction_short, numbers as Python writes them
};

struct TrainedNetwork {
    std::vector<LayerSpec> layers;  // with the masks of all samples
    std::string checksum;           // of all weights and biases
};

struct Element : TrainedNetwork {  // that of the energy
    std::string symbol;
    int number = 0;  // atomic number
    double atom_energy = 0.0;
    std::vector<SymmetryFunction> functions;  // in n2p2's order
    Ranges ranges;                            // empty without scaling.data
    TrainingStatistics statistics;            // empty without the section [domain] of uncertainty.data
    TrainedNetwork charges;                   // of the electronegativity, or of the charge
    double hardness = 0.0;                    // energy/e^2
};

// Nodes of the hidden layers; activations of these and of the output.
struct Layout {
    std::vector<int> nodes;
    std::vector<char> activations;
};

struct PotentialData {
    std::string units = "atomic";     // bohr and hartree, or metal: Angstrom and eV
    double angstrom = 1.0, ev = 1.0;  // one unit of length, of energy
    std::vector<Element> elements;    // sorted by atomic number
    int cutoff_type = 1;
    double cutoff_alpha = 0.0;
    std::string scaling = "none";  // none, scale, center, both or sigma
    double s_min = 0.0, s_max = 1.0;
    Layout layout, charge_layout;  // of the networks of the energy and of the charges
    bool normalize_nodes = false;
    double mean_energy = 0.0, conv_energy = 1.0, conv_length = 1.0;
    Repulsion repulsion;
    Electrostatics electrostatics;
    double bond_threshold = -1.0;              // atoms closer than this are a mistake, length
    int ensemble_size = 1;                     // networks; those here are of the first
    bool resample = false;                     // mc_masks resample: other masks in each step
    bool single = false;                       // symmetry functions in single precision
    int ensemble_line = 0, resample_line = 0;  // of input.nn
    int mc_samples = -1;                       // as input.nn says; -1: as many as there are masks
    int samples = 1;                           // Monte Carlo samples in effect; 1: the plain networks
    bool centered = false;                     // the mean over the samples is the plain network
    std::vector<double> rates;  // of dropout, inputs and hidden layers; empty without uncertainty.data
    std::string uncertainty;    // mc or hybrid, as input.nn says; empty: as uncertainty.data says
    Calibration calibration;    // of more than one sample

    Words symbols() const;
};

// Text of a file by its name; nothing if it cannot be read.
using Content = std::function<std::optional<std::string>(const std::string& name)>;
Content files_of(const std::string& directory);

// FileError with a sentence on what is missing, damaged or does not belong together.
PotentialData read_potential(const Content& content);

// ---- the single files, in the order in which they are read ----

using Texts = std::map<std::string, std::string>;  // by name

constexpr const char* DAMAGED =
    ". The file is cut short or belongs to another potential: copy the directory that mode 2 wrote again";

// weights.032.data; `what` is weights, weightse or hardness
std::string name_of(const Element& element, const std::string& what = "weights");

PotentialData read_input_nn(const std::string& text);
void read_scaling(const std::string& text, PotentialData& data);
void check_ranges(const PotentialData& data);  // of scaling.data, after check_identity, which says more
void read_weights(const std::string& text, const PotentialData& data, Element& element);
void read_charge_weights(const std::string& text, const PotentialData& data, Element& element);
void read_hardness(const std::string& text, Element& element);
void read_uncertainty(const std::string& text, PotentialData& data);
void read_charge_masks(const std::string& text, PotentialData& data);  // as many as the others
void read_domain(const std::vector<Line>& lines, PotentialData& data);

// Compares the lines `# potential` of all files but input.nn with each other and with what was read.
void check_identity(const Texts& files, const PotentialData& data);

}  // namespace bnnp

// A trained potential as the core works with it, from the text files of a potential directory.
//
// input.nn, scaling.data, weights.XXX.data and uncertainty.data are read as bnnp.potential reads them, and the line
// `# potential` in each is compared with what was read (bnnp.io.checksums): an edited, mixed or damaged directory
// is refused. Of input.nn only the keywords of a finished potential are known (bnnp.io.input_nn.write_input_nn).
// No LAMMPS in here: the files come as texts, since one rank reads them for all.
#pragma once

#include <array>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "networks.hpp"
#include "plan.hpp"

namespace bnnp {

// What is wrong with a file, in a sentence.
struct FileError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Texts = std::map<std::string, std::string>;  // name -> content

// ---- input.nn --------------------------------------------------------------------------------------------------

struct SymmetryFunction {
    FunctionSpec spec;             // neighbours are indices into `elements`
    std::string subtype;           // of the compact types
    std::string definition;        // the words behind symfunction_short, numbers as Python writes them
};

struct InputNN {
    bool metal = false;            // units: Angstrom and eV, else bohr and hartree
    std::vector<std::string> elements;  // sorted by atomic number
    std::vector<int> numbers;           // atomic numbers
    std::vector<double> atom_energies;
    std::vector<std::vector<SymmetryFunction>> functions;  // of each element, in n2p2's order
    int cutoff_type = 1;
    double cutoff_alpha = 0.0;
    bool scale = false, center = false, sigma = false;
    double s_min = 0.0, s_max = 1.0;
    std::vector<int> nodes;        // hidden layers
    std::vector<char> activations; // hidden layers and output
    bool normalize_nodes = false;
    double mean_energy = 0.0, conv_energy = 1.0, conv_length = 1.0;
    int mc_samples = -1;           // -1: as many as there are masks
    std::string uncertainty;       // mc or hybrid; empty: not given
    double bond_threshold = -1.0;  // length; -1: not given

    std::string scaling() const;   // none, scale, center, both, sigma
    int n_functions(int element) const { return int(functions[element].size()); }
};

InputNN read_input_nn(const std::string& text);

// Files that a potential with these settings consists of, besides input.nn; the last ones may be missing.
std::vector<std::string> needed_files(const InputNN&);

// "weights.032.data"
std::string weights_name(int atomic_number);

// ---- scaling.data, weights.XXX.data, uncertainty.data ---------------------------------------------------------

// Columns of scaling.data for one element; sigma is NaN where the file has none.
struct Ranges {
    std::vector<double> minimum, maximum, mean, sigma;
};

std::vector<Ranges> read_scaling(const std::string& text, const InputNN&);

// All weights and biases of an element in the order of the file.
std::vector<double> read_weights(const std::string& text, const InputNN&, int element);

// kept[element][layer (0 = inputs)][unit * samples + sample]; empty without dropout in that layer
struct Masks {
    int samples = 0;
    std::vector<double> rates;
    std::vector<std::vector<std::vector<char>>> kept;
};

Masks read_masks(const std::string& text, const InputNN&, const std::vector<std::string>& checksums);

// A monotone map from the standard deviation of the samples to a calibrated one, as bnnp.uncertainty.maps; without numbers
// it leaves sigma as it is. Beyond the largest sigma of its fit it goes on in proportion.
struct SigmaMap {
    double factor = 1.0;                  // of sigma, before
    std::vector<double> quadratic;        // s_0, a, b, largest: sqrt(s_0^2 + a sigma^2 + b sigma^4)
    std::vector<double> raw, calibrated;  // or isotonic: straight lines between these knots, constant below the first

    explicit operator bool() const { return !quadratic.empty() || !raw.empty(); }
    double operator()(double sigma) const;
};

// Calibration of kind mc, in units of the potential; empty maps where there is none.
struct Calibration {
    std::string wanted;                 // mc or hybrid, which is not computed here; empty: nothing is said
    int structures = 0, outside = 0;    // it was made with, in and out of the domain
    SigmaMap energy;                    // per atom of the total
    std::vector<SigmaMap> forces;       // components, of each element

    std::string describe() const;       // as in headers of mode 3
    std::string warning() const;        // that another sigma is wanted; mostly empty
};

Calibration read_calibration(const std::string& text, const InputNN&, const std::vector<std::string>& checksums);

// ---- identity --------------------------------------------------------------------------------------------------

std::string sha256(const std::string& bytes);
std::string sha256(const std::vector<double>& values);  // of their bytes, little endian
std::string python_repr(double value);                  // repr() of a Python float

// Compares the lines `# potential` of all files with each other and with what was read.
void check_identity(const Texts& files, const InputNN&, const std::vector<Ranges>&, const std::vector<std::string>& checksums);

// ---- the whole -------------------------------------------------------------------------------------------------

struct Potential {
    explicit Potential(const Texts& files);

    InputNN input;
    Plan plan;
    NetworkPlan networks;
    std::vector<double> shift, factor, offset;  // (n_elements, width): scaled = (G - shift) factor + offset
    std::vector<double> minimum, maximum;       // (n_elements, width) of the training set; empty without scaling.data
    double radius = 0.0;                        // largest cutoff, length
    double shortest = 0.0;                      // atoms closer than this are a mistake, length
    double angstrom = 1.0, ev = 1.0;            // one unit of length, of energy
    int samples = 1;                            // Monte Carlo samples; 1: the plain networks
    Calibration calibration;                    // of more than one sample

    std::string describe() const;

  private:
    void set_scaling(const std::vector<Ranges>&);
};

// ---- words and numbers -----------------------------------------------------------------------------------------

// A line of a file without its comment, cut into words.
struct Line {
    int number = 0;
    std::vector<std::string> words;
};

std::vector<Line> lines_of(const std::string& text, const char* comment = "#");
double to_number(const std::string& word, const std::string& where);  // FileError if it is not a finite number
int to_integer(const std::string& word, const std::string& where);
std::string join(const std::vector<std::string>& words, const std::string& separator = " ");
std::string number(double value);  // six digits, for messages

}  // namespace bnnp

// The electrostatics of a potential as input.nn says it: bnnp/charges/electrostatics.py.
#pragma once

#include <string>
#include <vector>

namespace bnnp {

// How atoms get charges: not at all, fixed ones of their elements, from networks (third generation), or in
// equilibrium (fourth).
enum class Charges { none, fixed, networks, equilibrated };

// The Ewald sum of one structure: width of the Gaussians summed over wave vectors, and limits.
struct Ewald {
    double eta = 0.0, r_cut = 0.0, k_cut = 0.0;
    int k_max = 0;  // largest index of a wave vector along each axis; 0: no such limit
};

// How it is chosen; a k_max in `fixed` replaces all others.
struct EwaldRule {
    int method = 0;
    double precision = 1e-6, largest_charge = 1.0, r_cut = 0.0;  // r_cut 0: none
    Ewald fixed;
};

struct Electrostatics {
    Charges charges = Charges::none;
    std::vector<std::string> symbols;
    std::vector<double> widths, values;  // by element; values: the fixed charges
    double four_pi_epsilon = 0.0, conv_charge = 1.0;
    double inner = 0.0, outer = 0.0;  // of the screening function; without it both 0
    int core = 0;                     // its place in CORES
    EwaldRule ewald;

    explicit operator bool() const { return charges != Charges::none; }
    bool by_networks() const { return charges == Charges::networks || equilibrated(); }
    // Then the charge is an input of the networks of the energy, behind the symmetry functions.
    bool equilibrated() const { return charges == Charges::equilibrated; }
    // All numbers, word for word as `text` of bnnp/charges/electrostatics.py, for the line `# potential`.
    std::string text() const;
};

constexpr const char* CORES[] = {"c", "p1", "p2", "p3", "p4", "e"};

}  // namespace bnnp

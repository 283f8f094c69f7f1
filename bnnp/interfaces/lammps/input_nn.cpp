// input.nn of a finished potential: n2p2's keywords, one symfunction_short a line.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <tuple>

#include "potential.hpp"

namespace bnnp {

namespace {

const char* SYMBOLS[] = {"",   "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg",
                         "Al", "Si", "P",  "S",  "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn",
                         "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr",
                         "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb",
                         "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
                         "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir",
                         "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th",
                         "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No"};

using Words = std::vector<std::string>;

bool is_compact(int type) { return type >= 20 && type <= 25; }

// Parameters of a type in the order of input.nn, as bnnp.descriptors.functions lists them, and its number of
// neighbors.
struct Grammar {
    int neighbors;
    std::vector<double FunctionSpec::*> parameters;
    bool optional_r_s = false;
};

const Grammar* grammar(int type) {
    using F = FunctionSpec;
    static const std::map<int, Grammar> types{{1, {1, {&F::r_c}}},
                                              {2, {1, {&F::eta, &F::r_s, &F::r_c}}},
                                              {3, {2, {&F::eta, &F::lambda, &F::zeta, &F::r_c}, true}},
                                              {4, {1, {&F::eta, &F::r_c}}},
                                              {8, {2, {&F::eta, &F::r_s, &F::r_c}}},
                                              {9, {2, {&F::eta, &F::lambda, &F::zeta, &F::r_c}, true}},
                                              {12, {0, {&F::eta, &F::r_s, &F::r_c}}},
                                              {13, {0, {&F::eta, &F::r_s, &F::lambda, &F::zeta, &F::r_c}}},
                                              {20, {1, {&F::r_l, &F::r_c}}},
                                              {21, {2, {&F::r_l, &F::r_c, &F::angle_left, &F::angle_right}}},
                                              {22, {2, {&F::r_l, &F::r_c, &F::angle_left, &F::angle_right}}},
                                              {23, {0, {&F::r_l, &F::r_c}}},
                                              {24, {0, {&F::r_l, &F::r_c, &F::angle_left, &F::angle_right}}},
                                              {25, {0, {&F::r_l, &F::r_c, &F::angle_left, &F::angle_right}}}};
    const auto found = types.find(type);
    return found == types.end() ? nullptr : &found->second;
}

std::string plain(double value) {  // as bnnp writes the numbers of a symmetry function
    if (value == std::floor(value) && std::abs(value) < 1e15) return std::to_string((long long)(value));
    return python_repr(value);
}

// Reads the keywords one after the other; elements and symmetry functions, which need the elements, at the
// end.
class Reader {
  public:
    InputNN read(const std::string& text) {
        for (const Line& line : lines_of(text, "#!")) keyword(line);
        set_elements();
        for (const Line& line : function_lines) add_function(line);
        finish();
        return input;
    }

  private:
    InputNN input;
    Words symbols;
    std::map<std::string, double> energies;
    std::map<std::string, int> seen;
    std::vector<Line> function_lines;
    int n_elements = -1, n_layers = -1;
    std::string where;

    [[noreturn]] void fail(const std::string& what) const { throw FileError(where + ": " + what); }

    const std::string& one(const Line& line) const {
        if (line.words.size() != 2) fail("`" + line.words[0] + "` needs one argument");
        return line.words[1];
    }

    void keyword(const Line& line) {
        const std::string& name = line.words[0];
        where = "input.nn line " + std::to_string(line.number);
        const bool repeatable = name == "symfunction_short" || name == "atom_energy";
        if (seen.count(name) && !repeatable)
            fail("`" + name + "` is there already, in line " + std::to_string(seen[name]));
        seen[name] = line.number;
        const Words arguments(line.words.begin() + 1, line.words.end());
        auto number = [&] { return to_number(one(line), where); };
        auto integer = [&] { return to_integer(one(line), where); };
        if (name == "symfunction_short") function_lines.push_back(line);
        else if (name == "units") input.metal = unit_system(one(line));
        else if (name == "number_of_elements") n_elements = integer();
        else if (name == "elements") symbols = arguments;
        else if (name == "atom_energy") {
            if (arguments.size() != 2) fail("`atom_energy` needs an element and an energy");
            if (!energies.emplace(arguments[0], to_number(arguments[1], where)).second)
                fail("a second atom_energy of " + arguments[0]);
        } else if (name == "mean_energy") input.mean_energy = number();
        else if (name == "conv_energy") input.conv_energy = number();
        else if (name == "conv_length") input.conv_length = number();
        else if (name == "cutoff_type") {
            if (arguments.empty() || arguments.size() > 2)
                fail("`cutoff_type` needs a number, and perhaps alpha");
            input.cutoff_type = to_integer(arguments[0], where);
            if (arguments.size() == 2) input.cutoff_alpha = to_number(arguments[1], where);
        } else if (name == "scale_symmetry_functions") input.scale = true;
        else if (name == "center_symmetry_functions") input.center = true;
        else if (name == "scale_symmetry_functions_sigma") input.sigma = true;
        else if (name == "scale_min_short" || name == "scale_min_short_atomic") input.s_min = number();
        else if (name == "scale_max_short" || name == "scale_max_short_atomic") input.s_max = number();
        else if (name == "global_hidden_layers_short") n_layers = integer();
        else if (name == "global_nodes_short") {
            for (const std::string& word : arguments) input.nodes.push_back(to_integer(word, where));
        } else if (name == "global_activation_short") {
            for (const std::string& word : arguments) {
                if (word.size() != 1 || std::string("ltsSgcehpr").find(word) == std::string::npos)
                    fail("unknown activation `" + word + "`");
                input.activations.push_back(word[0]);
            }
        } else if (name == "normalize_nodes") input.normalize_nodes = true;
        else if (name == "mc_samples") input.mc_samples = integer();
        else if (name == "uncertainty") {
            input.uncertainty = one(line);
            if (input.uncertainty != "mc" && input.uncertainty != "hybrid")
                fail("`uncertainty " + input.uncertainty + "`, expected mc or hybrid");
        } else if (name == "bond_threshold") input.bond_threshold = number();
        else if (name == "mc_masks") {
            if (one(line) != "frozen")
                fail("`mc_masks " + one(line) +
                     "`: forces that change at random do not conserve energy; use frozen");
        } else if (name == "ensemble_size") {
            if (integer() != 1)
                fail("this is an ensemble of " + one(line) +
                     " networks, and pair_style bnnp runs one; mode 3 and ASE run them all. "
                     "Without this line, in a copy of the directory, it is the first network with its "
                     "own masks");
        } else if (name != "random_seed" && name != "calculate_forces" && name != "calculate_stress" &&
                   name != "threads")
            fail("`" + name +
                 "` is no keyword of a finished potential. Use the directory potential/ that mode 2 writes, "
                 "or let "
                 "`bnnp --export bnnp DIR` make one of this");
    }

    bool unit_system(const std::string& name) const {
        if (name != "metal" && name != "atomic") fail("units are `" + name + "`, expected metal or atomic");
        return name == "metal";
    }

    void set_elements() {
        where = "input.nn";
        if (int(symbols.size()) != n_elements || symbols.empty())
            fail("`elements` does not name as many as number_of_elements says");
        for (int z = 1; z < int(std::size(SYMBOLS)); ++z)
            if (std::count(symbols.begin(), symbols.end(), SYMBOLS[z]) == 1) {
                input.elements.push_back(SYMBOLS[z]);
                input.numbers.push_back(z);
            }
        if (int(input.elements.size()) != n_elements)
            fail("`elements " + join(symbols) + "` has an unknown symbol, or one twice");
        for (const std::string& element : input.elements)
            input.atom_energies.push_back(energies.count(element) ? energies[element] : 0.0);
        input.functions.resize(input.elements.size());
    }

    int element(const std::string& symbol) const {
        const auto found = std::find(input.elements.begin(), input.elements.end(), symbol);
        if (found == input.elements.end())
            fail("names " + symbol + ", but the elements are " + join(input.elements));
        return int(found - input.elements.begin());
    }

    void add_function(const Line& line) {
        where = "input.nn line " + std::to_string(line.number);
        const Words& words = line.words;
        if (words.size() < 3) fail("expected element, type and parameters");
        SymmetryFunction function;
        FunctionSpec& spec = function.spec;
        spec.element = element(words[1]);
        spec.type = to_integer(words[2], where);
        const Grammar* rule = grammar(spec.type);
        if (!rule) fail("symmetry function type " + words[2] + " does not exist");
        const std::size_t first = 3 + rule->neighbors,
                          least = first + rule->parameters.size() + is_compact(spec.type);
        if (words.size() < least || words.size() > least + rule->optional_r_s)
            fail("a symmetry function of type " + words[2] + " has " + std::to_string(least - 2) +
                 " words behind its type");
        std::vector<int> neighbors;
        for (int n = 0; n < rule->neighbors; ++n) neighbors.push_back(element(words[3 + n]));
        std::sort(neighbors.begin(), neighbors.end());
        if (neighbors.size() > 0) spec.neighbor1 = neighbors[0];
        if (neighbors.size() > 1) spec.neighbor2 = neighbors[1];
        function.definition = words[1] + " " + std::to_string(spec.type);
        for (int n : neighbors) function.definition += " " + input.elements[n];
        std::size_t at = first;
        for (auto parameter : rule->parameters) {
            spec.*parameter = to_number(words[at++], where);
            function.definition += " " + plain(spec.*parameter);
        }
        if (is_compact(spec.type)) set_subtype(function, words[at]);
        else if (at < words.size()) {
            spec.r_s = to_number(words[at], where);
            if (spec.r_s != 0.0) function.definition += " " + plain(spec.r_s);
        }
        if (spec.r_c <= 0.0) fail("the cutoff radius is " + plain(spec.r_c) + " but must be positive");
        input.functions[spec.element].push_back(function);
    }

    void set_subtype(SymmetryFunction& function, const std::string& name) const {
        const bool polynomial = name.size() >= 2 && name[0] == 'p' && name[1] >= '1' && name[1] <= '4';
        if (name != "e" && !(polynomial && (name.size() == 2 || name.substr(2) == "a")))
            fail("subtype `" + name + "` does not exist");
        function.subtype = name;
        function.spec.core = name == "e" ? 5 : name[1] - '0';
        function.spec.asymmetric = name.back() == 'a';
        function.definition += " " + name;
    }

    // n2p2's order, which scaling.data and the inputs of the networks follow.
    static bool before(const SymmetryFunction& a, const SymmetryFunction& b) {
        const FunctionSpec &x = a.spec, &y = b.spec;
        if (x.type != y.type) return x.type < y.type;
        if (is_compact(x.type))
            return std::tie(a.subtype, x.neighbor1, x.neighbor2, x.r_c, x.r_l, x.angle_left, x.angle_right) <
                   std::tie(b.subtype, y.neighbor1, y.neighbor2, y.r_c, y.r_l, y.angle_left, y.angle_right);
        return std::tie(x.r_c, x.eta, x.r_s, x.zeta, x.lambda, x.neighbor1, x.neighbor2) <
               std::tie(y.r_c, y.eta, y.r_s, y.zeta, y.lambda, y.neighbor1, y.neighbor2);
    }

    void finish() {
        where = "input.nn";
        for (std::size_t e = 0; e < input.elements.size(); ++e) {
            auto& functions = input.functions[e];
            if (functions.empty()) fail("element " + input.elements[e] + " has no symmetry function");
            std::stable_sort(functions.begin(), functions.end(), before);
            for (std::size_t column = 0; column < functions.size(); ++column)
                functions[column].spec.column = int(column);
        }
        if (input.cutoff_type < 0 || input.cutoff_type > 8)
            fail("cutoff_type is " + std::to_string(input.cutoff_type) + ", expected 0 to 8");
        if (input.activations.empty() || int(input.nodes.size()) != n_layers ||
            input.activations.size() != input.nodes.size() + 1)
            fail(
                "global_hidden_layers_short, global_nodes_short and global_activation_short do not fit "
                "together");
        if (input.sigma && input.center && !input.scale)
            fail("scale_symmetry_functions_sigma and center_symmetry_functions exclude each other");
    }
};

}  // namespace

InputNN read_input_nn(const std::string& text) { return Reader().read(text); }

std::string InputNN::scaling() const {
    if (scale) return center ? "both" : "scale";
    return center ? "center" : sigma ? "sigma" : "none";
}

std::string weights_name(int atomic_number) {
    const std::string digits = std::to_string(1000 + atomic_number).substr(1);
    return "weights." + digits + ".data";
}

std::vector<std::string> needed_files(const InputNN& input) {
    std::vector<std::string> names;
    for (int number : input.numbers) names.push_back(weights_name(number));
    names.push_back("scaling.data");
    names.push_back("uncertainty.data");
    return names;
}

}  // namespace bnnp

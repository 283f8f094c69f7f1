// input.nn of a finished potential: n2p2's keywords, one symfunction_short a line.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "potential/potential.hpp"
#include "potential/units.hpp"

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

const double CLOSEST = 0.5;  // default of bond_threshold, bohr

// Keywords whose presence says all, or that matter to other programs only.
const std::set<std::string> FLAGS{"scale_symmetry_functions",
                                  "center_symmetry_functions",
                                  "scale_symmetry_functions_sigma",
                                  "normalize_nodes",
                                  "calculate_forces",
                                  "calculate_stress",
                                  "threads"};

// Keywords with a line for each element or function.
const std::set<std::string> REPEATED{"symfunction_short", "atom_energy", "fixed_gausswidth", "fixed_charge"};

bool is_compact(int type) { return type >= 20; }

// Parameters of a type in the order of input.nn and its number of neighbors.
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

// n2p2's order, which scaling.data and the inputs of the networks follow.
bool before(const SymmetryFunction& a, const SymmetryFunction& b) {
    const FunctionSpec &x = a.spec, &y = b.spec;
    if (x.type != y.type) return x.type < y.type;
    if (is_compact(x.type))
        return std::tie(a.subtype, x.neighbor1, x.neighbor2, x.r_c, x.r_l, x.angle_left, x.angle_right) <
               std::tie(b.subtype, y.neighbor1, y.neighbor2, y.r_c, y.r_l, y.angle_left, y.angle_right);
    return std::tie(x.r_c, x.eta, x.r_s, x.zeta, x.lambda, x.neighbor1, x.neighbor2) <
           std::tie(y.r_c, y.eta, y.r_s, y.zeta, y.lambda, y.neighbor1, y.neighbor2);
}

// Reads one keyword after the other; elements and symmetry functions, which need the elements, at the end.
class InputReader {
  public:
    PotentialData read(const std::string& text) {
        for (const Line& line : lines_of(text, "#!")) keyword(line);
        where = "input.nn";
        set_elements();
        for (const Line& line : function_lines) add_function(line);
        where = "input.nn";
        finish();
        return data;
    }

  private:
    PotentialData data;
    Electrostatics& charged = data.electrostatics;
    Words symbols;
    std::map<std::string, double> energies, widths, charges;
    std::map<std::string, int> seen;  // line of each keyword
    std::vector<Line> function_lines;
    int n_elements = -1, n_layers = -1, n_charge_layers = -1;
    int electrostatic_type = 0;
    double alpha = 0.0;  // of ewald_alpha
    std::string where;
    const std::map<std::string, double*> numbers{{"mean_energy", &data.mean_energy},
                                                 {"conv_energy", &data.conv_energy},
                                                 {"conv_length", &data.conv_length},
                                                 {"scale_min_short", &data.s_min},
                                                 {"scale_min_short_atomic", &data.s_min},
                                                 {"scale_max_short", &data.s_max},
                                                 {"scale_max_short_atomic", &data.s_max},
                                                 {"bond_threshold", &data.bond_threshold},
                                                 {"four_pi_epsilon", &charged.four_pi_epsilon},
                                                 {"conv_charge", &charged.conv_charge},
                                                 {"ewald_alpha", &alpha},
                                                 {"ewald_cutoff", &charged.ewald.fixed.r_cut}};
    const std::map<std::string, int*> integers{{"number_of_elements", &n_elements},
                                               {"global_hidden_layers_short", &n_layers},
                                               {"global_hidden_layers_electrostatic", &n_charge_layers},
                                               {"ewald_truncation_error_method", &charged.ewald.method},
                                               {"ewald_kmax", &charged.ewald.fixed.k_max},
                                               {"electrostatic_type", &electrostatic_type},
                                               {"mc_samples", &data.mc_samples},
                                               {"ensemble_size", &data.ensemble_size}};

    [[noreturn]] void fail(const std::string& what) const { throw FileError(where + ": " + what); }

    const std::string& one(const Line& line) const {
        if (line.words.size() != 2) fail("`" + line.words[0] + "` needs one argument");
        return line.words[1];
    }

    const std::string& choice(const Line& line, const char* first, const char* second) const {
        if (one(line) != first && one(line) != second)
            fail("`" + join(line.words) + "`, expected " + first + " or " + second);
        return line.words[1];
    }

    void keyword(const Line& line) {
        const std::string& name = line.words[0];
        where = "input.nn line " + std::to_string(line.number);
        if (seen.count(name) && !REPEATED.count(name))
            fail("`" + name + "` is there already, in line " + std::to_string(seen[name]));
        seen[name] = line.number;
        const Words arguments(line.words.begin() + 1, line.words.end());
        if (numbers.count(name)) *numbers.at(name) = to_number(one(line), where);
        else if (integers.count(name))
            *integers.at(name) = at_least(name == "ensemble_size" || name == "ewald_kmax", line);
        else if (name == "random_seed") check_seed(line);
        else if (name == "zbl_repulsion") set_repulsion(arguments);
        else if (name == "symfunction_short") function_lines.push_back(line);
        else if (name == "elements") symbols = arguments;
        else if (name == "atom_energy") add_number(energies, line);
        else if (name == "fixed_gausswidth") add_number(widths, line);
        else if (name == "fixed_charge") add_number(charges, line);
        else if (name == "nnp_type" && join(arguments) != "2G-HDNNP")
            charged.charges = choice(line, "3G-HDNNP", "4G-HDNNP") == "3G-HDNNP" ? Charges::networks
                                                                                 : Charges::equilibrated;
        else if (name == "screen_electrostatics") set_screening(arguments);
        else if (name == "ewald_prec") set_precision(arguments);
        else if (name == "cutoff_type") set_cutoff(arguments);
        else if (name == "units") data.units = choice(line, "metal", "atomic");
        else if (name == "uncertainty") data.uncertainty = choice(line, "mc", "hybrid");
        else if (name == "mc_masks") data.resample = choice(line, "frozen", "resample") == "resample";
        else if (name == "precision") data.single = choice(line, "double", "single") == "single";
        else if (name == "global_nodes_short") add_nodes(data.layout, arguments);
        else if (name == "global_nodes_electrostatic") add_nodes(data.charge_layout, arguments);
        else if (name == "global_activation_short") add_activations(data.layout, arguments);
        else if (name == "global_activation_electrostatic") add_activations(data.charge_layout, arguments);
        else if (!FLAGS.count(name))
            fail("`" + name +
                 "` is no keyword of a finished potential. Use the directory potential/ that "
                 "mode 2 writes, or let `bnnp --export bnnp DIR` make one of this");
    }

    int at_least(int least, const Line& line) const {
        const int value = to_integer(one(line), where);
        if (value < least) fail("`" + join(line.words) + "`, expected at least " + std::to_string(least));
        return value;
    }

    void check_seed(const Line& line) const {
        if (!is_seed(one(line))) fail("`" + join(line.words) + "`, expected an integer not below 0");
    }

    void add_number(std::map<std::string, double>& numbers, const Line& line) const {
        const std::string& name = line.words[0];
        if (line.words.size() != 3) fail("`" + name + "` needs an element and a number");
        if (!numbers.emplace(line.words[1], to_number(line.words[2], where)).second)
            fail("a second " + name + " of " + line.words[1]);
    }

    void set_screening(const Words& arguments) {
        if (arguments.size() != 2 && arguments.size() != 3)
            fail("`screen_electrostatics` needs two numbers, and perhaps a function");
        charged.inner = to_number(arguments[0], where);
        charged.outer = to_number(arguments[1], where);
        if (charged.inner < 0.0 || charged.inner >= charged.outer)
            fail("`screen_electrostatics` expects 0 <= r_in < r_out");
        const auto found =
            std::find(std::begin(CORES), std::end(CORES), arguments.size() > 2 ? arguments[2] : "c");
        charged.core = int(found - std::begin(CORES));
        if (found == std::end(CORES))
            fail("`screen_electrostatics` expects c, p1, p2, p3, p4 or e at its end");
    }

    void set_precision(const Words& arguments) {
        if (arguments.empty() || arguments.size() > 3) fail("`ewald_prec` needs one to three numbers");
        double* targets[] = {&charged.ewald.precision, &charged.ewald.largest_charge, &charged.ewald.r_cut};
        for (std::size_t n = 0; n < arguments.size(); ++n) {
            *targets[n] = to_number(arguments[n], where);
            if (*targets[n] <= 0.0) fail("`ewald_prec` needs positive numbers");
        }
        if (charged.ewald.precision >= 1.0) fail("`ewald_prec` needs a precision below 1");
    }

    void set_repulsion(const Words& arguments) {
        if (arguments.size() != 2) fail("`zbl_repulsion` needs two numbers");
        data.repulsion.inner = to_number(arguments[0], where);
        data.repulsion.outer = to_number(arguments[1], where);
        if (data.repulsion.inner < 0.0 || data.repulsion.inner >= data.repulsion.outer)
            fail("`zbl_repulsion` expects 0 <= r_in < r_out");
    }

    void set_cutoff(const Words& arguments) {
        if (arguments.empty() || arguments.size() > 2)
            fail("`cutoff_type` needs a number, and perhaps alpha");
        data.cutoff_type = to_integer(arguments[0], where);
        if (arguments.size() == 2) data.cutoff_alpha = to_number(arguments[1], where);
        if (data.cutoff_type < 0 || data.cutoff_type > 8)
            fail("cutoff_type is " + arguments[0] + ", expected 0 to 8");
        if (data.cutoff_alpha < 0.0 || data.cutoff_alpha >= 1.0)
            fail("alpha of cutoff_type is " + arguments[1] + ", expected at least 0 and below 1");
        if (data.cutoff_alpha > 0.0 && (data.cutoff_type == 2 || data.cutoff_type == 3))
            fail("cutoff_type " + arguments[0] + " has no alpha");
    }

    void add_nodes(Layout& layout, const Words& arguments) const {
        for (const std::string& word : arguments) layout.nodes.push_back(to_integer(word, where));
    }

    void add_activations(Layout& layout, const Words& arguments) const {
        for (const std::string& word : arguments) {
            if (word.size() != 1 || std::string("ltsSgcehpr").find(word) == std::string::npos)
                fail("unknown activation `" + word + "`");
            layout.activations.push_back(word[0]);
        }
    }

    void check_layout(const Layout& layout, int layers, const std::string& kind) const {
        if (layout.activations.empty() || int(layout.nodes.size()) != layers ||
            layout.activations.size() != layout.nodes.size() + 1)
            fail("global_hidden_layers_" + kind + ", _nodes_" + kind + " and _activation_" + kind +
                 " do not fit together");
    }

    // Numbers of a keyword that has a line for each element.
    std::vector<double> of_all(const std::map<std::string, double>& numbers, const std::string& name,
                               double least) const {
        std::vector<double> found;
        for (const auto& [symbol, value] : numbers) {
            index_of(symbol, "`" + name + "` ");
            if (value < least) fail("`" + name + "` of " + symbol + " must be positive");
        }
        for (const Element& element : data.elements) {
            if (!numbers.count(element.symbol)) fail("no `" + name + "` of " + element.symbol);
            found.push_back(numbers.at(element.symbol));
        }
        return found;
    }

    void set_charges() {
        const bool fixed = seen.count("fixed_charge");
        if (electrostatic_type != 0 && (electrostatic_type != 3 || !fixed))
            fail("`electrostatic_type` goes with fixed_charge only, and is 3 then");
        if (fixed && charged.equilibrated()) fail("`fixed_charge` does not go with `nnp_type 4G-HDNNP`");
        if (fixed) charged.charges = Charges::fixed;
        if (!charged) {
            for (const char* name :
                 {"fixed_gausswidth", "screen_electrostatics", "ewald_prec", "ewald_alpha"})
                if (seen.count(name)) fail("`" + std::string(name) + "` needs nnp_type or fixed_charge");
            return;
        }
        charged.symbols = data.symbols();
        charged.widths.assign(data.elements.size(), 0.0);
        if (charged.equilibrated() || !widths.empty())
            charged.widths = of_all(widths, "fixed_gausswidth", std::numeric_limits<double>::min());
        if (fixed) charged.values = of_all(charges, "fixed_charge", -std::numeric_limits<double>::max());
        if (charged.by_networks()) check_layout(data.charge_layout, n_charge_layers, "electrostatic");
        if (!seen.count("four_pi_epsilon"))
            charged.four_pi_epsilon = data.ev * data.angstrom / (HARTREE * BOHR);
        if (charged.four_pi_epsilon <= 0.0 || charged.conv_charge <= 0.0)
            fail("`four_pi_epsilon` and `conv_charge` must be positive");
        const bool sum = seen.count("ewald_alpha");
        if (sum != bool(seen.count("ewald_cutoff")) || sum != bool(seen.count("ewald_kmax")) ||
            (sum && (alpha <= 0.0 || charged.ewald.fixed.r_cut <= 0.0)))
            fail("`ewald_alpha`, `ewald_cutoff` and `ewald_kmax` must be positive: all three or none");
        if (sum && seen.count("ewald_prec")) fail("`ewald_alpha` excludes `ewald_prec`");
        if (sum) charged.ewald.fixed.eta = 1.0 / (std::sqrt(2.0) * alpha);
        if (charged.ewald.method > 1 || (charged.ewald.method == 1 && !seen.count("ewald_prec")))
            fail("`ewald_truncation_error_method` is 0, or 1 with `ewald_prec`");
    }

    void set_elements() {
        if (int(symbols.size()) != n_elements || symbols.empty())
            fail("`elements` does not name as many as number_of_elements says");
        for (int z = 1; z < int(std::size(SYMBOLS)); ++z) {
            if (std::count(symbols.begin(), symbols.end(), SYMBOLS[z]) != 1) continue;
            Element element;
            element.symbol = SYMBOLS[z];
            element.number = z;
            if (energies.count(element.symbol)) element.atom_energy = energies[element.symbol];
            data.elements.push_back(element);
        }
        if (int(data.elements.size()) != n_elements)
            fail("`elements " + join(symbols) + "` has an unknown symbol, or one twice");
    }

    int index_of(const std::string& symbol, const std::string& what = "") const {
        for (std::size_t e = 0; e < data.elements.size(); ++e)
            if (data.elements[e].symbol == symbol) return int(e);
        fail(what + "names " + symbol + ", but the elements are " + join(data.symbols()));
    }

    void add_function(const Line& line) {
        where = "input.nn line " + std::to_string(line.number);
        const Words& words = line.words;
        if (words.size() < 3) fail("expected element, type and parameters");
        SymmetryFunction function;
        FunctionSpec& spec = function.spec;
        spec.element = index_of(words[1]);
        spec.type = to_integer(words[2], where);
        const Grammar* rule = grammar(spec.type);
        if (!rule) fail("symmetry function type " + words[2] + " does not exist");
        const std::size_t first = 3 + rule->neighbors;
        const std::size_t least = first + rule->parameters.size() + is_compact(spec.type);
        if (words.size() < least || words.size() > least + rule->optional_r_s)
            fail("a symmetry function of type " + words[2] + " has " + std::to_string(least - 3) +
                 " words behind its type");
        std::vector<int> neighbors;
        for (std::size_t n = 3; n < first; ++n) neighbors.push_back(index_of(words[n]));
        std::sort(neighbors.begin(), neighbors.end());
        if (neighbors.size() > 0) spec.neighbor1 = neighbors[0];
        if (neighbors.size() > 1) spec.neighbor2 = neighbors[1];
        function.definition = words[1] + " " + std::to_string(spec.type);
        for (const int n : neighbors) function.definition += " " + data.elements[n].symbol;
        std::size_t at = first;
        for (const auto parameter : rule->parameters) {
            spec.*parameter = to_number(words[at++], where);
            function.definition += " " + plain(spec.*parameter);
        }
        if (is_compact(spec.type)) set_subtype(function, words[at]);
        else if (at < words.size()) spec.r_s = to_number(words[at], where);
        if (rule->optional_r_s && spec.r_s != 0.0) function.definition += " " + plain(spec.r_s);
        if (spec.r_c <= 0.0) fail("the cutoff radius is " + plain(spec.r_c) + " but must be positive");
        data.elements[spec.element].functions.push_back(function);
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

    void finish() {
        for (Element& element : data.elements) {
            if (element.functions.empty()) fail("element " + element.symbol + " has no symmetry function");
            std::stable_sort(element.functions.begin(), element.functions.end(), before);
            int column = 0;
            for (SymmetryFunction& function : element.functions) function.spec.column = column++;
        }
        check_layout(data.layout, n_layers, "short");
        const bool scale = seen.count("scale_symmetry_functions");
        const bool center = seen.count("center_symmetry_functions");
        const bool sigma = seen.count("scale_symmetry_functions_sigma");
        if (sigma && center && !scale)
            fail("scale_symmetry_functions_sigma and center_symmetry_functions exclude each other");
        data.scaling = scale ? (center ? "both" : "scale") : center ? "center" : sigma ? "sigma" : "none";
        data.normalize_nodes = seen.count("normalize_nodes");
        double longest = 0.0;
        for (const Element& element : data.elements)
            for (const SymmetryFunction& function : element.functions)
                longest = std::max(longest, function.spec.r_c);
        if (data.repulsion.outer > longest)
            fail("`zbl_repulsion` ends beyond the longest cutoff of the symmetry functions");
        if (data.s_min >= data.s_max) fail("scale_min_short must be smaller than scale_max_short");
        if (data.bond_threshold < 0.0 && seen.count("bond_threshold")) fail("`bond_threshold` is negative");
        data.ensemble_line = seen["ensemble_size"];
        data.resample_line = seen["mc_masks"];
        if (data.units == "atomic") data.angstrom = BOHR, data.ev = HARTREE;
        if (data.bond_threshold < 0.0) data.bond_threshold = CLOSEST * BOHR / data.angstrom;
        set_charges();
    }
};

}  // namespace

PotentialData read_input_nn(const std::string& text) { return InputReader().read(text); }

Words PotentialData::symbols() const {
    Words symbols;
    for (const Element& element : elements) symbols.push_back(element.symbol);
    return symbols;
}

}  // namespace bnnp

#include "potential/electrostatics.hpp"

#include "potential/text.hpp"

namespace bnnp {

std::string Electrostatics::text() const {
    const auto by_element = [this](const std::vector<double>& numbers) {
        Words words;
        for (std::size_t e = 0; e < symbols.size(); ++e)
            words.push_back(symbols[e] + " " + python_repr(numbers[e]));
        return join(words);
    };
    const auto tuple = [](const Words& words) { return "(" + join(words, ", ") + ")"; };
    const std::string none = "None";
    const std::string screening =
        outer > 0.0 ? tuple({python_repr(inner), python_repr(outer), std::string("'") + CORES[core] + "'"})
                    : none;
    const Ewald& own = ewald.fixed;
    const std::string fixed = own.k_max ? "Ewald(eta=" + python_repr(own.eta) +
                                              ", r_cut=" + python_repr(own.r_cut) +
                                              ", k_cut=inf, k_max=" + std::to_string(own.k_max) + ")"
                                        : none;
    const std::string sum =
        tuple({std::to_string(ewald.method), python_repr(ewald.precision), python_repr(ewald.largest_charge),
               ewald.r_cut > 0.0 ? python_repr(ewald.r_cut) : none, fixed});
    return (charges == Charges::fixed ? "fixed " + by_element(values) + "; " : "") + by_element(widths) +
           " " + python_repr(four_pi_epsilon) + " " + screening + " " + sum + " " + python_repr(conv_charge) +
           (equilibrated() ? "" : " third generation");
}

}  // namespace bnnp

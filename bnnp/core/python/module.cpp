// Thin pybind11 binding: its parts check shapes, hand out threads, call the kernels of the machine's
// instruction set.
#include <string>
#include <vector>

#include "kernels/dispatch.hpp"
#include "python/bindings.hpp"

PYBIND11_MODULE(_core, module) {
    module.doc() = "C++ core of bnnp.";
    bnnp::bind_charges(module);
    bnnp::bind_descriptor(module);
    bnnp::bind_networks(module);
    bnnp::bind_pairs(module);
    bnnp::bind_potential(module);
    bnnp::bind_text(module);
    module.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (const bnnp::Kernels& set : bnnp::available()) names.push_back(set.name);
        return names;
    });
}

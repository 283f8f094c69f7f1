// What the parts of the binding share: array types, checks of arguments, and what each part adds to the
// module.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <tuple>

#include "kernels/tasks.hpp"

namespace py = pybind11;

namespace bnnp {

using Doubles = py::array_t<double, py::array::c_style>;
using Longs = py::array_t<std::int64_t, py::array::c_style>;
using Ints = py::array_t<std::int32_t, py::array::c_style>;

// types (n_atoms,), first (n_atoms + 1,), neighbors (n_pairs,), vectors (n_pairs, 3), as in PairList.
using PairArrays = std::tuple<Ints, Longs, Ints, Doubles>;

inline void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

inline bool has_shape(const Doubles& array, std::int64_t rows, std::int64_t columns) {
    return array.ndim() == 2 && array.shape(0) == rows && array.shape(1) == columns;
}

inline void check_types(const Ints& types, std::size_t n_elements) {
    for (std::int64_t i = 0; i < types.size(); ++i)
        require(types.data()[i] >= 0 && types.data()[i] < std::int64_t(n_elements),
                "types holds an unknown element index");
}

inline void check_pairs(std::int64_t n_atoms, const Longs& first, const Ints& neighbors) {
    require(first.size() == n_atoms + 1, "first must have one entry more than there are atoms");
    require(first.at(0) == 0 && first.at(n_atoms) == neighbors.size(),
            "first must run from 0 to the number of pairs");
    for (std::int64_t i = 0; i < n_atoms; ++i)
        require(first.data()[i] <= first.data()[i + 1], "first must not decrease");
    for (std::int64_t p = 0; p < neighbors.size(); ++p)
        require(neighbors.data()[p] >= 0 && neighbors.data()[p] < n_atoms,
                "neighbors holds an atom index out of range");
}

void bind_charges(py::module_& module);
void bind_descriptor(py::module_& module);
void bind_networks(py::module_& module);
void bind_pairs(py::module_& module);
void bind_potential(py::module_& module);
void bind_text(py::module_& module);

}  // namespace bnnp

// What the parts of the binding share: array types, checks of arguments, and what each part adds to the module.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>

namespace py = pybind11;

namespace bnnp {

using Doubles = py::array_t<double, py::array::c_style>;
using Longs = py::array_t<std::int64_t, py::array::c_style>;
using Ints = py::array_t<std::int32_t, py::array::c_style>;

inline void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

void bind_descriptor(py::module_& module);
void bind_networks(py::module_& module);
void bind_pairs(py::module_& module);

}  // namespace bnnp

#include "python/descriptor.hpp"

namespace bnnp {
namespace {

FunctionSpec make_function(int element, int column, int type, int neighbor1, int neighbor2, double eta, double r_s,
                           double lambda, double zeta, double r_c, double r_l, double angle_left, double angle_right,
                           int core, bool asymmetric) {
    return {element, column, type, neighbor1, neighbor2, eta, r_s, lambda, zeta, r_c, r_l, angle_left, angle_right, core, asymmetric};
}

}  // namespace

void bind_descriptor(py::module_& module) {
    py::class_<FunctionSpec>(module, "FunctionSpec")
        .def(py::init(&make_function), py::kw_only(), py::arg("element"), py::arg("column"), py::arg("type"),
             py::arg("neighbor1"), py::arg("neighbor2"), py::arg("eta"), py::arg("r_s"), py::arg("lambda_"),
             py::arg("zeta"), py::arg("r_c"), py::arg("r_l"), py::arg("angle_left"), py::arg("angle_right"),
             py::arg("core"), py::arg("asymmetric"));
    py::class_<Descriptor>(module, "Descriptor")
        .def(py::init<const std::vector<double>&, const std::vector<FunctionSpec>&, int, double, bool, int>())
        .def("values", &Descriptor::values)
        .def("vjp", &Descriptor::vjp)
        .def("jvp", &Descriptor::jvp)
        .def("jacobian", &Descriptor::jacobian)
        .def("block_vjp", &Descriptor::block_vjp)
        .def("block_jvp", &Descriptor::block_jvp)
        .def("sensitive", [](const Descriptor& d, int center, int neighbor) { return d.plan.elements.at(center).sensitive.at(neighbor); })
        .def_property_readonly("width", [](const Descriptor& d) { return d.plan.width; })
        .def_property_readonly("kernel", [](const Descriptor& d) { return d.kernels.name; });
}

}  // namespace bnnp

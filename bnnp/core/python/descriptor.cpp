#include "python/descriptor.hpp"

namespace bnnp {
namespace {

// FunctionSpec(element=0, column=3, ...): fields by their names.
FunctionSpec make_function(const py::kwargs& fields) {
    FunctionSpec function;
    const py::object object = py::cast(&function);
    for (const auto& [name, value] : fields) py::setattr(object, name, value);
    return function;
}

}  // namespace

void bind_descriptor(py::module_& module) {
    py::class_<FunctionSpec>(module, "FunctionSpec")
        .def(py::init(&make_function))
        .def_readwrite("element", &FunctionSpec::element)
        .def_readwrite("column", &FunctionSpec::column)
        .def_readwrite("type", &FunctionSpec::type)
        .def_readwrite("neighbor1", &FunctionSpec::neighbor1)
        .def_readwrite("neighbor2", &FunctionSpec::neighbor2)
        .def_readwrite("eta", &FunctionSpec::eta)
        .def_readwrite("r_s", &FunctionSpec::r_s)
        .def_readwrite("lambda_", &FunctionSpec::lambda)
        .def_readwrite("zeta", &FunctionSpec::zeta)
        .def_readwrite("r_c", &FunctionSpec::r_c)
        .def_readwrite("r_l", &FunctionSpec::r_l)
        .def_readwrite("angle_left", &FunctionSpec::angle_left)
        .def_readwrite("angle_right", &FunctionSpec::angle_right)
        .def_readwrite("core", &FunctionSpec::core)
        .def_readwrite("asymmetric", &FunctionSpec::asymmetric);
    py::class_<Descriptor>(module, "Descriptor")
        .def(py::init<const std::vector<double>&, const std::vector<FunctionSpec>&, int, double, bool, int>())
        .def("values", &Descriptor::values)
        .def("vjp", &Descriptor::vjp)
        .def("jvp", &Descriptor::jvp)
        .def("jacobian", &Descriptor::jacobian)
        .def("block_vjp", &Descriptor::block_vjp)
        .def("block_jvp", &Descriptor::block_jvp)
        .def("sensitive", [](const Descriptor& d, int center,
                             int neighbor) { return d.plan.elements.at(center).sensitive.at(neighbor); })
        .def_property_readonly("width", [](const Descriptor& d) { return d.plan.width; })
        .def_property_readonly("kernel", [](const Descriptor& d) { return d.kernels.name; });
}

}  // namespace bnnp

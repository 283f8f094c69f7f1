// The reader of a potential's files, as Python has it: plain numbers, texts and arrays.
#include "potential/potential.hpp"

#include <string>
#include <vector>

#include "python/bindings.hpp"

namespace bnnp {
namespace {

using namespace py::literals;

py::array array_of(const std::vector<double>& values, std::int64_t columns = 0) {
    Doubles flat(std::int64_t(values.size()), values.data());
    return columns ? flat.reshape({std::int64_t(-1), columns}) : py::array(flat);
}

py::dict dict_of(const LayerSpec& layer, int samples) {
    const py::object masks = layer.masks.empty() ? py::object(py::none()) : array_of(layer.masks, samples);
    const py::object means = layer.means.empty() ? py::object(py::none()) : array_of(layer.means);
    return py::dict("activation"_a = std::string(1, layer.activation), "masks"_a = masks, "means"_a = means,
                    "weights"_a = array_of(layer.weights, layer.n_out), "biases"_a = array_of(layer.biases));
}

py::dict dict_of(const SymmetryFunction& function) {
    return py::dict("definition"_a = function.definition, "subtype"_a = function.subtype,
                    "spec"_a = function.spec);
}

py::dict dict_of(const Quantity& quantity) {
    const SigmaMap& map = quantity.map;
    return py::dict("weights"_a = array_of(quantity.weights), "least"_a = quantity.least,
                    "inside"_a = quantity.inside, "quadratic"_a = array_of(map.quadratic),
                    "raw"_a = array_of(map.raw), "calibrated"_a = array_of(map.calibrated));
}

py::dict dict_of(const TrainingStatistics& own) {
    return py::dict("mean"_a = array_of(own.mean), "covariance"_a = array_of(own.covariance),
                    "feature_mean"_a = array_of(own.feature_mean),
                    "feature_covariance"_a = array_of(own.feature_covariance),
                    "structure_covariance"_a = array_of(own.structure_covariance),
                    "shortest"_a = array_of(own.shortest));
}

py::dict dict_of(const Element& element, int samples) {
    py::list functions, layers;
    for (const SymmetryFunction& function : element.functions) functions.append(dict_of(function));
    for (const LayerSpec& layer : element.layers) layers.append(dict_of(layer, samples));
    const Ranges& ranges = element.ranges;
    return py::dict("symbol"_a = element.symbol, "number"_a = element.number, "functions"_a = functions,
                    "atom_energy"_a = element.atom_energy, "layers"_a = layers,
                    "checksum"_a = element.checksum, "minimum"_a = array_of(ranges.minimum),
                    "maximum"_a = array_of(ranges.maximum), "mean"_a = array_of(ranges.mean),
                    "sigma"_a = array_of(ranges.sigma), "statistics"_a = dict_of(element.statistics));
}

py::dict dict_of(const Calibration& calibration) {
    py::list forces;
    for (const Quantity& quantity : calibration.forces) forces.append(dict_of(quantity));
    return py::dict("kind"_a = calibration.kind, "structures"_a = calibration.structures,
                    "outside"_a = calibration.outside, "energy"_a = dict_of(calibration.energy),
                    "forces"_a = forces, "reach"_a = calibration.reach);
}

py::dict read(const std::string& directory) {
    const PotentialData data = read_potential(files_of(directory));
    py::list elements;
    for (const Element& element : data.elements) elements.append(dict_of(element, data.samples));
    return py::dict("units"_a = data.units, "angstrom"_a = data.angstrom, "ev"_a = data.ev,
                    "elements"_a = elements, "cutoff_type"_a = data.cutoff_type,
                    "cutoff_alpha"_a = data.cutoff_alpha, "scaling"_a = data.scaling, "s_min"_a = data.s_min,
                    "s_max"_a = data.s_max, "normalize_nodes"_a = data.normalize_nodes,
                    "mean_energy"_a = data.mean_energy, "conv_energy"_a = data.conv_energy,
                    "conv_length"_a = data.conv_length, "bond_threshold"_a = data.bond_threshold,
                    "repulsion"_a = py::make_tuple(data.repulsion.inner, data.repulsion.outer),
                    "ensemble_size"_a = data.ensemble_size, "resample"_a = data.resample,
                    "single"_a = data.single, "samples"_a = data.samples, "rates"_a = array_of(data.rates),
                    "calibration"_a = dict_of(data.calibration));
}

}  // namespace

void bind_potential(py::module_& module) { module.def("read_potential", &read); }

}  // namespace bnnp

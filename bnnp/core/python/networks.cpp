// Networks with their samples, as Python has them.
#include "plan/networks.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/sample_forces.hpp"
#include "kernels/threads.hpp"
#include "python/bindings.hpp"
#include "python/descriptor.hpp"

namespace bnnp {
namespace {

// shift, factor, offset, each (n_elements, width): the networks get (G - shift) factor + offset.
using Affine = std::tuple<Doubles, Doubles, Doubles>;

class Networks {
  public:
    Networks(const std::vector<std::vector<LayerSpec>>& elements, int n_samples, int width,
             bool normalize_nodes, bool centered, int threads)
        : plan(plan_networks(elements, n_samples, width, normalize_nodes, centered)),
          threads(threads),
          kernels(choose_kernels()) {}

    // energies (n_atoms, n_samples), mean gradient (n_atoms, width), delta (n_atoms, span, padded n_samples)
    py::tuple sample(const Ints& types, const Doubles& inputs, bool gradient, bool delta) const {
        const std::int64_t n = types.size();
        require(has_shape(inputs, n, plan.width), "inputs must have the shape (n_atoms, width)");
        check_types(types, plan.elements.size());
        Doubles energies({n, std::int64_t(plan.n_samples)});
        Doubles mean({gradient ? n : 0, std::int64_t(plan.width)});
        Doubles deltas({delta ? n : 0, std::int64_t(plan.span), std::int64_t(plan.sample_row())});
        SampleTask task;
        task.types = types.data();
        task.inputs = inputs.data();
        task.energies = energies.mutable_data();
        if (gradient) task.gradient = mean.mutable_data();
        if (delta) task.delta = deltas.mutable_data();
        {
            py::gil_scoped_release release;
            parallel({0, n}, threads, [&](Range atoms) { kernels.sample_networks(plan, task, atoms); });
        }
        return py::make_tuple(energies, mean, deltas);
    }

    // Symmetry functions (n_atoms, width), energies (n_atoms, n_samples) and dE/dD (n_pairs, 3) of the mean
    // energy, atom by atom on the same thread. dE/dG is that of the networks times `slopes`.
    py::tuple mean_field(const Descriptor& descriptor, const PairArrays& arrays, const Affine& scaling,
                         const Doubles& slopes) const {
        const PairList list = descriptor.pairs(arrays);
        const auto& [shift, factor, offset] = scaling;
        const std::int64_t n = list.n_atoms, n_pairs = list.first[n];
        const std::int64_t width = plan.width, n_elements = std::int64_t(plan.elements.size());
        require(width == descriptor.plan.width, "networks and descriptor do not belong together");
        for (const Doubles* array : {&shift, &factor, &offset, &slopes})
            require(array->size() == n_elements * width,
                    "shift, factor, offset, slopes must have the shape (n_elements, width)");
        Doubles G({n, width}), energies({n, std::int64_t(plan.n_samples)}), dE_dD({n_pairs, std::int64_t(3)});
        std::vector<double> inputs(n * width), gradient(n * width);
        Task values, reverse;
        values.G = G.mutable_data();
        reverse.sweep = Sweep::vjp;
        reverse.dE_dG = gradient.data();
        reverse.dE_dD = dE_dD.mutable_data();
        SampleTask networks;
        networks.types = list.types;
        networks.inputs = inputs.data();
        networks.energies = energies.mutable_data();
        networks.gradient = gradient.data();
        const double *m = shift.data(), *c = factor.data(), *o = offset.data(), *f = slopes.data();
        {
            py::gil_scoped_release release;
            parallel({0, n}, threads, [&](Range atoms) {
                kernels.symmetry_functions(descriptor.plan, list, values, descriptor.single, atoms);
                for (std::int64_t i = atoms.begin; i < atoms.end; ++i)
                    for (std::int64_t u = 0, k = list.types[i] * width; u < width; ++u, ++k)
                        inputs[i * width + u] = (values.G[i * width + u] - m[k]) * c[k] + o[k];
                kernels.sample_networks(plan, networks, atoms);
                for (std::int64_t i = atoms.begin; i < atoms.end; ++i)
                    for (std::int64_t u = 0; u < width; ++u)
                        gradient[i * width + u] *= f[list.types[i] * width + u];
                kernels.symmetry_functions(descriptor.plan, list, reverse, descriptor.single, atoms);
            });
        }
        return py::make_tuple(G, energies, dE_dD);
    }

    // Forces (n_atoms, 3, padded n_samples) and virials sum_p D_p (x) dE/dD_p (3, 3, padded n_samples) of
    // every sample.
    py::tuple forces(const Descriptor& descriptor, const PairArrays& arrays, const Doubles& factors,
                     const Doubles& delta) const {
        const PairList list = descriptor.pairs(arrays);
        const std::int64_t samples = plan.sample_row(), three = 3;
        require(delta.size() == list.n_atoms * plan.span * samples,
                "delta must have the shape (n_atoms, span, padded n_samples)");
        require(factors.size() == std::int64_t(plan.elements.size()) * plan.width &&
                    plan.width == descriptor.plan.width,
                "factors must have the shape (n_elements, width)");
        Doubles forces({list.n_atoms, three, samples}), virials({three, three, samples});
        std::fill(forces.mutable_data(), forces.mutable_data() + forces.size(), 0.0);
        std::fill(virials.mutable_data(), virials.mutable_data() + virials.size(), 0.0);
        SampleForceTask task;
        task.factors = factors.data();
        task.delta = delta.data();
        task.neighbors = list.neighbors;
        task.forces = forces.mutable_data();
        task.virials = virials.mutable_data();
        {
            py::gil_scoped_release release;
            add_sample_forces(kernels, descriptor.plan, list, plan, task, threads);
        }
        return py::make_tuple(forces, virials);
    }

    NetworkPlan plan;
    int threads;
    Kernels kernels;
};

LayerSpec make_layer(const Doubles& weights, const Doubles& biases, const std::string& activation,
                     const py::object& masks, const py::object& means) {
    require(weights.ndim() == 2 && biases.ndim() == 1, "weights (n_in, n_out), biases (n_out,)");
    require(activation.size() == 1, "an activation is one letter");
    LayerSpec layer;
    layer.n_in = int(weights.shape(0));
    layer.n_out = int(weights.shape(1));
    layer.activation = activation[0];
    layer.weights.assign(weights.data(), weights.data() + weights.size());
    layer.biases.assign(biases.data(), biases.data() + biases.size());
    if (!masks.is_none()) {
        const Doubles array = masks.cast<Doubles>();
        layer.masks.assign(array.data(), array.data() + array.size());
    }
    if (!means.is_none()) {
        const Doubles array = means.cast<Doubles>();
        layer.means.assign(array.data(), array.data() + array.size());
    }
    return layer;
}

}  // namespace

void bind_networks(py::module_& module) {
    py::class_<LayerSpec>(module, "Layer").def(py::init(&make_layer));
    py::class_<Networks>(module, "Networks")
        .def(py::init<std::vector<std::vector<LayerSpec>>, int, int, bool, bool, int>())
        .def("sample", &Networks::sample)
        .def("mean_field", &Networks::mean_field)
        .def("forces", &Networks::forces);
}

}  // namespace bnnp

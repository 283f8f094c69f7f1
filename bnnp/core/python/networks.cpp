// Networks with their samples, as Python has them.
#include <algorithm>
#include <string>

#include "python/descriptor.hpp"
#include "kernels/sample_forces.hpp"

namespace bnnp {
namespace {

class Networks {
  public:
    Networks(const std::vector<std::vector<LayerSpec>>& elements, int n_samples, int width, bool normalize_nodes, int threads)
        : plan(plan_networks(elements, n_samples, width, normalize_nodes)), threads(threads), kernels(choose_kernels()) {}

    // energies (n_atoms, n_samples), mean gradient (n_atoms, width), delta (n_atoms, span, padded n_samples)
    py::tuple sample(const Ints& types, const Doubles& inputs, bool gradient, bool delta) const {
        const std::int64_t n = types.size();
        require(inputs.ndim() == 2 && inputs.shape(0) == n && inputs.shape(1) == plan.width, "inputs must have the shape (n_atoms, width)");
        for (std::int64_t i = 0; i < n; ++i)
            require(types.data()[i] >= 0 && types.data()[i] < int(plan.elements.size()), "types holds an unknown element index");
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
            parallel(n, threads, [&](auto begin, auto end) { kernels.sample_networks(plan, task, begin, end); });
        }
        return py::make_tuple(energies, mean, deltas);
    }

    // Symmetry functions (n_atoms, width), energies (n_atoms, n_samples) and dE/dD (n_pairs, 3) of the mean energy, atom by
    // atom on the same thread. The networks get (G - shift) factor + offset; dE/dG is that of the networks times `slopes`.
    py::tuple mean_field(const Descriptor& descriptor, const Ints& types, const Longs& first, const Ints& neighbors, const Doubles& vectors,
                         const Doubles& shift, const Doubles& factor, const Doubles& offset, const Doubles& slopes) const {
        const PairList list = descriptor.pairs(types, first, neighbors, vectors);
        const std::int64_t n = list.n_atoms, width = plan.width, size = std::int64_t(plan.elements.size()) * width;
        require(width == descriptor.plan.width && !descriptor.single, "networks and descriptor do not belong together");
        require(shift.size() == size && factor.size() == size && offset.size() == size && slopes.size() == size,
                "shift, factor, offset, slopes must have the shape (n_elements, width)");
        Doubles G({n, width}), energies({n, std::int64_t(plan.n_samples)}), dE_dD({neighbors.size(), py::ssize_t(3)});
        std::vector<double> inputs(n * width), gradient(n * width);
        Task values, reverse;
        values.G = G.mutable_data();
        reverse.sweep = Sweep::vjp;
        reverse.dE_dG = gradient.data();
        reverse.dE_dD = dE_dD.mutable_data();
        SampleTask networks;
        networks.types = types.data();
        networks.inputs = inputs.data();
        networks.energies = energies.mutable_data();
        networks.gradient = gradient.data();
        const double *m = shift.data(), *c = factor.data(), *o = offset.data(), *f = slopes.data();
        {
            py::gil_scoped_release release;
            parallel(n, threads, [&](std::int64_t begin, std::int64_t end) {
                kernels.symmetry_functions(descriptor.plan, list, values, false, begin, end);
                for (std::int64_t i = begin; i < end; ++i)
                    for (std::int64_t u = 0, k = list.types[i] * width; u < width; ++u, ++k)
                        inputs[i * width + u] = (values.G[i * width + u] - m[k]) * c[k] + o[k];
                kernels.sample_networks(plan, networks, begin, end);
                for (std::int64_t i = begin; i < end; ++i)
                    for (std::int64_t u = 0; u < width; ++u) gradient[i * width + u] *= f[list.types[i] * width + u];
                kernels.symmetry_functions(descriptor.plan, list, reverse, false, begin, end);
            });
        }
        return py::make_tuple(G, energies, dE_dD);
    }

    // Forces (n_atoms, 3, padded n_samples) and virials sum_p D_p (x) dE/dD_p (3, 3, padded n_samples) of every sample.
    py::tuple forces(const Descriptor& descriptor, const Ints& types, const Longs& first, const Ints& neighbors,
                     const Doubles& vectors, const Doubles& factors, const Doubles& delta) const {
        const PairList list = descriptor.pairs(types, first, neighbors, vectors);
        const std::int64_t samples = plan.sample_row();
        require(delta.size() == list.n_atoms * plan.span * samples, "delta must have the shape (n_atoms, span, padded n_samples)");
        require(factors.size() == std::int64_t(plan.elements.size()) * plan.width && plan.width == descriptor.plan.width,
                "factors must have the shape (n_elements, width)");
        Doubles forces({list.n_atoms, std::int64_t(3), samples}), virials({std::int64_t(3), std::int64_t(3), samples});
        std::fill(forces.mutable_data(), forces.mutable_data() + forces.size(), 0.0);
        std::fill(virials.mutable_data(), virials.mutable_data() + virials.size(), 0.0);
        const std::vector<std::int64_t> offsets = descriptor.block_offsets(list);
        SampleForceTask task;
        task.factors = factors.data();
        task.delta = delta.data();
        task.block_offsets = offsets.data();
        task.neighbors = neighbors.data();
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

LayerSpec make_layer(const Doubles& weights, const Doubles& biases, const std::string& activation, const py::object& masks) {
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
    return layer;
}

}  // namespace

void bind_networks(py::module_& module) {
    py::class_<LayerSpec>(module, "Layer").def(py::init(&make_layer));
    py::class_<Networks>(module, "Networks")
        .def(py::init<std::vector<std::vector<LayerSpec>>, int, int, bool, int>())
        .def("sample", &Networks::sample)
        .def("mean_field", &Networks::mean_field)
        .def("forces", &Networks::forces);
}

}  // namespace bnnp

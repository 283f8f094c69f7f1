// Thin pybind11 binding: checks shapes, hands out threads, calls the kernels of the machine's instruction set.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "dispatch.hpp"
#include "neighbors.hpp"
#include "sample_forces.hpp"

namespace py = pybind11;
using namespace bnnp;

namespace {

using Doubles = py::array_t<double, py::array::c_style>;
using Longs = py::array_t<std::int64_t, py::array::c_style>;
using Ints = py::array_t<std::int32_t, py::array::c_style>;

void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

// ---- descriptors -----------------------------------------------------------------------------------------------

class Descriptor {
  public:
    Descriptor(const std::vector<double>& atomic_numbers, const std::vector<FunctionSpec>& functions, int cutoff_type,
               double cutoff_alpha, bool single, int threads)
        : plan(make_plan(atomic_numbers, functions, cutoff_type, cutoff_alpha)), single(single), threads(threads),
          kernels(choose_kernels()) {}

    PairList pairs(const Ints& types, const Longs& first, const Ints& neighbors, const Doubles& vectors) const {
        const std::int64_t n = types.size();
        require(first.size() == n + 1, "first must have one entry more than there are atoms");
        require(first.at(0) == 0 && first.at(n) == neighbors.size(), "first must run from 0 to the number of pairs");
        require(vectors.ndim() == 2 && vectors.shape(0) == neighbors.size() && vectors.shape(1) == 3,
                "vectors must have the shape (n_pairs, 3)");
        for (std::int64_t i = 0; i < n; ++i) {
            require(types.data()[i] >= 0 && types.data()[i] < int(plan.elements.size()), "types holds an unknown element index");
            require(first.data()[i] <= first.data()[i + 1], "first must not decrease");
        }
        for (std::int64_t p = 0; p < neighbors.size(); ++p)
            require(neighbors.data()[p] >= 0 && neighbors.data()[p] < n, "neighbors holds an atom index out of range");
        return {n, first.data(), neighbors.data(), vectors.data(), types.data()};
    }

    Doubles sweep_functions(Sweep sweep, const Ints& types, const Longs& first, const Ints& neighbors,
                            const Doubles& vectors, const double* dD) const {
        const PairList list = pairs(types, first, neighbors, vectors);
        Doubles G({list.n_atoms, std::int64_t(plan.width)});
        Task task;
        task.sweep = sweep;
        task.dD = dD;
        task.G = G.mutable_data();
        run(list, task);
        return G;
    }

    Doubles values(const Ints& types, const Longs& first, const Ints& neighbors, const Doubles& vectors) const {
        return sweep_functions(Sweep::values, types, first, neighbors, vectors, nullptr);
    }

    Doubles jvp(const Ints& types, const Longs& first, const Ints& neighbors, const Doubles& vectors, const Doubles& dD) const {
        require(dD.ndim() == 2 && dD.shape(0) == neighbors.size() && dD.shape(1) == 3, "dD must have the shape (n_pairs, 3)");
        return sweep_functions(Sweep::jvp, types, first, neighbors, vectors, dD.data());
    }

    Doubles vjp(const Ints& types, const Longs& first, const Ints& neighbors, const Doubles& vectors, const Doubles& dE_dG) const {
        const PairList list = pairs(types, first, neighbors, vectors);
        check_gradient(dE_dG, list.n_atoms);
        Doubles dE_dD({neighbors.size(), py::ssize_t(3)});
        Task task;
        task.sweep = Sweep::vjp;
        task.dE_dG = dE_dG.data();
        task.dE_dD = dE_dD.mutable_data();
        run(list, task);
        return dE_dD;
    }

    py::array jacobian(const Ints& types, const Longs& first, const Ints& neighbors, const Doubles& vectors, bool as_double) const {
        const PairList list = pairs(types, first, neighbors, vectors);
        const std::vector<std::int64_t> offsets = block_offsets(list);
        py::array blocks = as_double ? py::array(Doubles(offsets.back())) : py::array(py::array_t<float>(offsets.back()));
        Task task;
        task.sweep = Sweep::jacobian;
        task.blocks = blocks.mutable_data();
        task.blocks_double = as_double;
        task.block_offsets = offsets.data();
        run(list, task);
        return blocks;
    }

    Doubles block_vjp(const Ints& types, const Longs& first, const Ints& neighbors, const Doubles& vectors,
                      const py::array& blocks, const Doubles& dE_dG) const {
        const PairList list = pairs(types, first, neighbors, vectors);
        check_gradient(dE_dG, list.n_atoms);
        const std::vector<std::int64_t> offsets = block_offsets(list);
        BlockTask task = block_task(blocks, offsets);
        Doubles dE_dD({neighbors.size(), py::ssize_t(3)});
        task.dE_dG = dE_dG.data();
        task.dE_dD = dE_dD.mutable_data();
        {
            py::gil_scoped_release release;
            parallel(list.n_atoms, threads, [&](auto begin, auto end) { kernels.blocks_vjp(plan, list, task, begin, end); });
        }
        return dE_dD;
    }

    Doubles block_jvp(const Ints& types, const Longs& first, const Ints& neighbors, const Doubles& vectors,
                      const py::array& blocks, const Doubles& dD) const {
        const PairList list = pairs(types, first, neighbors, vectors);
        require(dD.ndim() == 2 && dD.shape(0) == neighbors.size() && dD.shape(1) == 3, "dD must have the shape (n_pairs, 3)");
        const std::vector<std::int64_t> offsets = block_offsets(list);
        BlockTask task = block_task(blocks, offsets);
        Doubles G({list.n_atoms, std::int64_t(plan.width)});
        task.dD = dD.data();
        task.G = G.mutable_data();
        {
            py::gil_scoped_release release;
            parallel(list.n_atoms, threads, [&](auto begin, auto end) { kernels.blocks_jvp(plan, list, task, begin, end); });
        }
        return G;
    }

    std::vector<std::int64_t> block_offsets(const PairList& list) const {
        std::vector<std::int64_t> offsets(list.first[list.n_atoms] + 1, 0);
        for (std::int64_t i = 0; i < list.n_atoms; ++i)
            for (std::int64_t p = list.first[i]; p < list.first[i + 1]; ++p)
                offsets[p + 1] = offsets[p] +
                    3 * std::int64_t(plan.elements[list.types[i]].sensitive[list.types[list.neighbors[p]]].size());
        return offsets;
    }

    Plan plan;
    bool single;
    int threads;
    Kernels kernels;

  private:
    void run(const PairList& list, const Task& task) const {
        py::gil_scoped_release release;
        parallel(list.n_atoms, threads, [&](auto begin, auto end) { kernels.symmetry_functions(plan, list, task, single, begin, end); });
    }

    void check_gradient(const Doubles& dE_dG, std::int64_t n_atoms) const {
        require(dE_dG.ndim() == 2 && dE_dG.shape(0) == n_atoms && dE_dG.shape(1) == plan.width,
                "dE_dG must have the shape (n_atoms, width)");
    }

    static BlockTask block_task(const py::array& blocks, const std::vector<std::int64_t>& offsets) {
        const bool as_double = py::isinstance<py::array_t<double>>(blocks);
        require(as_double || py::isinstance<py::array_t<float>>(blocks), "blocks must be float32 or float64");
        require((blocks.flags() & py::array::c_style) != 0, "blocks must be contiguous");
        require(blocks.size() == offsets.back(), "blocks does not have the size that the pairs ask for");
        BlockTask task;
        task.blocks = blocks.data();
        task.blocks_double = as_double;
        task.block_offsets = offsets.data();
        return task;
    }
};

// ---- networks --------------------------------------------------------------------------------------------------

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

// ---- pairs -----------------------------------------------------------------------------------------------------

void check_pairs(std::int64_t n_atoms, const Longs& first, const Ints& neighbors, const Doubles& values) {
    require(first.size() == n_atoms + 1 && first.at(n_atoms) == neighbors.size(), "first must have one entry more than there are atoms");
    require(values.ndim() == 2 && values.shape(0) == neighbors.size() && values.shape(1) == 3, "expected the shape (n_pairs, 3)");
    for (std::int64_t p = 0; p < neighbors.size(); ++p)
        require(neighbors.data()[p] >= 0 && neighbors.data()[p] < n_atoms, "neighbors holds an atom index out of range");
}

// The full neighbour list: first, centers, neighbors, vectors. `points` are searched instead of the positions.
py::tuple find_neighbors(const Doubles& positions, const Doubles& points, const py::object& cell, const Longs& numbers, double cutoff, int threads) {
    const std::int64_t n = positions.shape(0);
    const Doubles box = cell.is_none() ? Doubles(9) : cell.cast<Doubles>();
    require(positions.size() == 3 * n && points.size() == 3 * n && numbers.size() == n && box.size() == 9,
            "expected positions (n, 3), points (n, 3), cell (3, 3), numbers (n,)");
    for (std::int64_t i = 0; i < n; ++i) require(numbers.data()[i] >= 0 && numbers.data()[i] < 1000, "an atomic number is out of range");
    Longs first(n + 1);
    std::vector<NeighborSearch::Piece> pieces((n + 63) / 64);
    {
        py::gil_scoped_release release;
        const Kernels kernels = choose_kernels();
        const Atoms atoms{n, positions.data(), points.data(), cell.is_none() ? nullptr : box.data(), numbers.data()};
        const NeighborSearch search(kernels, atoms, cutoff);
        parallel_pieces(std::int64_t(pieces.size()), threads, [&](std::int64_t k) { pieces[k] = search.find(64 * k, std::min(64 * k + 64, n)); });
    }
    std::int64_t *offsets = first.mutable_data(), i = 0;
    offsets[0] = 0;
    for (const auto& piece : pieces)
        for (const std::int64_t count : piece.counts) offsets[i + 1] = offsets[i] + count, ++i;
    Ints centers(offsets[n]), neighbors(offsets[n]);
    Doubles vectors({offsets[n], std::int64_t(3)});
    std::int32_t *C = centers.mutable_data(), *N = neighbors.mutable_data();
    double* D = vectors.mutable_data();
    {
        py::gil_scoped_release release;
        parallel_pieces(std::int64_t(pieces.size()), threads, [&](std::int64_t k) {
            const std::int64_t begin = offsets[64 * k];
            std::copy(pieces[k].neighbors.begin(), pieces[k].neighbors.end(), N + begin);
            std::copy(pieces[k].vectors.begin(), pieces[k].vectors.end(), D + 3 * begin);
            for (std::int64_t a = 64 * k; a < std::min(64 * k + 64, n); ++a) std::fill(C + offsets[a], C + offsets[a + 1], std::int32_t(a));
        });
    }
    return py::make_tuple(first, centers, neighbors, vectors);
}

// The pairs of a list that are within the cutoff at other positions: D = r_j - r_i + image.
py::tuple narrow(const Longs& first, const Ints& neighbors, const Doubles& images, const Doubles& positions, double cutoff) {
    const std::int64_t n = first.size() - 1;
    check_pairs(n, first, neighbors, images);
    require(positions.size() == 3 * n, "positions must have the shape (n_atoms, 3)");
    Longs offsets(n + 1);
    std::vector<std::int32_t> kept;
    std::vector<double> vectors;
    kept.reserve(neighbors.size()), vectors.reserve(3 * neighbors.size());
    const double *r = positions.data(), *image = images.data();
    offsets.mutable_data()[0] = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        const double* a = r + 3 * i;
        for (std::int64_t p = first.data()[i]; p < first.data()[i + 1]; ++p) {
            const double* b = r + 3 * std::int64_t(neighbors.data()[p]);
            double d[3];
            for (int c = 0; c < 3; ++c) d[c] = (b[c] - a[c]) + image[3 * p + c];
            if (!(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < cutoff * cutoff)) continue;
            kept.push_back(neighbors.data()[p]);
            vectors.insert(vectors.end(), d, d + 3);
        }
        offsets.mutable_data()[i + 1] = std::int64_t(kept.size());
    }
    Ints own(offsets.at(n)), others(offsets.at(n));
    Doubles D({offsets.at(n), std::int64_t(3)});
    for (std::int64_t i = 0; i < n; ++i) std::fill(own.mutable_data() + offsets.at(i), own.mutable_data() + offsets.at(i + 1), std::int32_t(i));
    std::copy(kept.begin(), kept.end(), others.mutable_data());
    std::copy(vectors.begin(), vectors.end(), D.mutable_data());
    return py::make_tuple(offsets, own, others, D);
}

// F_i = sum of dE/dD over the pairs of centre i, minus the sum over the pairs with neighbour i. (n_atoms, 3)
Doubles sum_pairs(const Longs& first, const Ints& neighbors, const Doubles& dE_dD) {
    const std::int64_t n = first.size() - 1;
    check_pairs(n, first, neighbors, dE_dD);
    Doubles forces({n, std::int64_t(3)});
    double* F = forces.mutable_data();
    const double* d = dE_dD.data();
    std::fill(F, F + 3 * n, 0.0);
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t p = first.data()[i]; p < first.data()[i + 1]; ++p) {
            double* other = F + 3 * std::int64_t(neighbors.data()[p]);
            for (int c = 0; c < 3; ++c) F[3 * i + c] += d[3 * p + c], other[c] -= d[3 * p + c];
        }
    return forces;
}

// The transpose: value of the centre minus value of the neighbour, for every pair. (n_pairs, 3)
Doubles pair_differences(const Longs& first, const Ints& neighbors, const Doubles& atoms) {
    const std::int64_t n = first.size() - 1;
    require(atoms.ndim() == 2 && atoms.shape(0) == n && atoms.shape(1) == 3, "expected the shape (n_atoms, 3)");
    Doubles result({neighbors.size(), py::ssize_t(3)});
    check_pairs(n, first, neighbors, result);
    double* out = result.mutable_data();
    const double* x = atoms.data();
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t p = first.data()[i]; p < first.data()[i + 1]; ++p) {
            const double* other = x + 3 * std::int64_t(neighbors.data()[p]);
            for (int c = 0; c < 3; ++c) out[3 * p + c] = x[3 * i + c] - other[c];
        }
    return result;
}

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

FunctionSpec make_function(int element, int column, int type, int neighbor1, int neighbor2, double eta, double r_s,
                           double lambda, double zeta, double r_c, double r_l, double angle_left, double angle_right,
                           int core, bool asymmetric) {
    return {element, column, type, neighbor1, neighbor2, eta, r_s, lambda, zeta, r_c, r_l, angle_left, angle_right, core, asymmetric};
}

}  // namespace

PYBIND11_MODULE(_core, module) {
    module.doc() = "C++ core of bnnp; use it through bnnp.core.";
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
        .def("sensitive", [](const Descriptor& d, int centre, int neighbor) { return d.plan.elements.at(centre).sensitive.at(neighbor); })
        .def_property_readonly("width", [](const Descriptor& d) { return d.plan.width; })
        .def_property_readonly("kernel", [](const Descriptor& d) { return d.kernels.name; });
    py::class_<LayerSpec>(module, "Layer").def(py::init(&make_layer));
    py::class_<Networks>(module, "Networks")
        .def(py::init<std::vector<std::vector<LayerSpec>>, int, int, bool, int>())
        .def("sample", &Networks::sample)
        .def("mean_field", &Networks::mean_field)
        .def("forces", &Networks::forces);
    module.def("find_neighbors", &find_neighbors);
    module.def("narrow", &narrow);
    module.def("sum_pairs", &sum_pairs);
    module.def("pair_differences", &pair_differences);
    module.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (const Kernels& set : available()) names.push_back(set.name);
        return names;
    });
}

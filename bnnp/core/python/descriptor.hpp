// The symmetry functions of one set of definitions, as Python has them.
#pragma once
#include "python/bindings.hpp"
#include "kernels/dispatch.hpp"

namespace bnnp {

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

}  // namespace bnnp

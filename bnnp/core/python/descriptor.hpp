// The symmetry functions of one set of definitions, as Python has them.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/blocks.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/threads.hpp"
#include "plan/symmetry_functions.hpp"
#include "python/bindings.hpp"

namespace bnnp {

class Descriptor {
  public:
    Descriptor(const std::vector<double>& atomic_numbers, const std::vector<FunctionSpec>& functions,
               int cutoff_type, double cutoff_alpha, bool single, int threads)
        : plan(make_plan(atomic_numbers, functions, cutoff_type, cutoff_alpha)),
          single(single),
          threads(threads),
          kernels(choose_kernels()) {}

    PairList pairs(const PairArrays& arrays) const {
        const auto& [types, first, neighbors, vectors] = arrays;
        check_types(types, plan.elements.size());
        check_pairs(types.size(), first, neighbors);
        check_vectors(vectors, neighbors.size(), "vectors must have the shape (n_pairs, 3)");
        return {types.size(), first.data(), neighbors.data(), vectors.data(), types.data()};
    }

    Doubles values(const PairArrays& arrays) const {
        Task task;
        task.sweep = Sweep::values;
        return functions(pairs(arrays), task);
    }

    Doubles jvp(const PairArrays& arrays, const Doubles& dD) const {
        const PairList list = pairs(arrays);
        check_vectors(dD, list.first[list.n_atoms], "dD must have the shape (n_pairs, 3)");
        Task task;
        task.sweep = Sweep::jvp;
        task.dD = dD.data();
        return functions(list, task);
    }

    Doubles vjp(const PairArrays& arrays, const Doubles& dE_dG) const {
        const PairList list = pairs(arrays);
        check_gradient(dE_dG, list.n_atoms);
        Doubles dE_dD({list.first[list.n_atoms], std::int64_t(3)});
        Task task;
        task.sweep = Sweep::vjp;
        task.dE_dG = dE_dG.data();
        task.dE_dD = dE_dD.mutable_data();
        run(list, task);
        return dE_dD;
    }

    py::array jacobian(const PairArrays& arrays, bool as_double) const {
        const PairList list = pairs(arrays);
        const std::vector<std::int64_t> offsets = block_offsets(plan, list);
        const std::int64_t size = offsets.back();
        py::array blocks = as_double ? py::array(Doubles(size)) : py::array(py::array_t<float>(size));
        Task task;
        task.sweep = Sweep::jacobian;
        task.blocks = blocks.mutable_data();
        task.blocks_double = as_double;
        task.block_offsets = offsets.data();
        run(list, task);
        return blocks;
    }

    Doubles block_vjp(const PairArrays& arrays, const py::array& blocks, const Doubles& dE_dG) const {
        const PairList list = pairs(arrays);
        check_gradient(dE_dG, list.n_atoms);
        const std::vector<std::int64_t> offsets = block_offsets(plan, list);
        BlockTask task = block_task(blocks, offsets);
        Doubles dE_dD({list.first[list.n_atoms], std::int64_t(3)});
        task.dE_dG = dE_dG.data();
        task.dE_dD = dE_dD.mutable_data();
        over_centers(list, [&](Range centers) { kernels.blocks_vjp(plan, list, task, centers); });
        return dE_dD;
    }

    Doubles block_jvp(const PairArrays& arrays, const py::array& blocks, const Doubles& dD) const {
        const PairList list = pairs(arrays);
        check_vectors(dD, list.first[list.n_atoms], "dD must have the shape (n_pairs, 3)");
        const std::vector<std::int64_t> offsets = block_offsets(plan, list);
        BlockTask task = block_task(blocks, offsets);
        Doubles G({list.n_atoms, std::int64_t(plan.width)});
        task.dD = dD.data();
        task.G = G.mutable_data();
        over_centers(list, [&](Range centers) { kernels.blocks_jvp(plan, list, task, centers); });
        return G;
    }

    Plan plan;
    bool single;
    int threads;
    Kernels kernels;

  private:
    // Output of `task`, one of the sweeps that end at the functions.
    Doubles functions(const PairList& list, Task task) const {
        Doubles G({list.n_atoms, std::int64_t(plan.width)});
        task.G = G.mutable_data();
        run(list, task);
        return G;
    }

    void run(const PairList& list, const Task& task) const {
        over_centers(list,
                     [&](Range centers) { kernels.symmetry_functions(plan, list, task, single, centers); });
    }

    template <typename Work>
    void over_centers(const PairList& list, Work work) const {
        const py::gil_scoped_release release;
        parallel({0, list.n_atoms}, threads, work);
    }

    static void check_vectors(const Doubles& vectors, std::int64_t n_pairs, const char* message) {
        require(has_shape(vectors, n_pairs, 3), message);
    }

    void check_gradient(const Doubles& dE_dG, std::int64_t n_atoms) const {
        require(has_shape(dE_dG, n_atoms, plan.width), "dE_dG must have the shape (n_atoms, width)");
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

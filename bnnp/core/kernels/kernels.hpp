// Entry points of the kernels, one set for each instruction set; dispatch.hpp chooses at run time.
#pragma once

#include <cstdint>

#include "kernels/tasks.hpp"
#include "plan/networks.hpp"
#include "plan/symmetry_functions.hpp"

namespace bnnp {

struct Kernels {
    const char* name;

    // One of the four sweeps over the pairs of `centers`; float inside if `single`.
    void (*symmetry_functions)(const Plan&, const PairList&, const Task&, bool single, Range centers);

    // The same from stored derivatives: dE/dD as a sum over functions, dG as a sum over pairs.
    void (*blocks_vjp)(const Plan&, const PairList&, const BlockTask&, Range centers);
    void (*blocks_jvp)(const Plan&, const PairList&, const BlockTask&, Range centers);

    // Networks with Monte Carlo dropout at `atoms`.
    void (*sample_networks)(const NetworkPlan&, const SampleTask&, Range atoms);

    // The slopes of `centers`, and from them the forces of `samples`, whose limits are multiples of row_unit.
    void (*sample_slopes)(const Plan&, const PairList&, const NetworkPlan&, const SampleForceTask&,
                          Range centers);
    void (*sample_forces)(const PairList&, const NetworkPlan&, const SampleForceTask&, Range samples,
                          Range centers);

    // Numbers of those of `some` points that are in the sphere; returns how many. Reads and writes up to two
    // registers more.
    int (*close_points)(const Points&, Range some, const Sphere&, std::int32_t* found);

    // Gaussian charges: two matrices, their products, or the forces and the virial they give.
    void (*charges)(const ChargeTask&);

    // A block of a matrix times its transpose.
    void (*products)(const ProductTask&);

    // Charges to a mesh, or from a mesh to the atoms.
    void (*mesh)(const MeshTask&);
};

namespace v2 {
extern const Kernels kernels;
}
namespace v3 {
extern const Kernels kernels;
}
namespace v4 {
extern const Kernels kernels;
}

}  // namespace bnnp

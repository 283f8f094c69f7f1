// All kernels of one instruction set.
#pragma once

#include "kernels/blocks.inl"
#include "kernels/charges.inl"
#include "kernels/forces.inl"
#include "kernels/kernels.hpp"
#include "kernels/mesh.inl"
#include "kernels/networks.inl"
#include "kernels/products.inl"
#include "kernels/search.inl"
#include "kernels/sweeps.inl"

namespace bnnp::BNNP_INSTRUCTION_SET {

static constexpr Kernels all_kernels(const char* name) {
    return {name,           &symmetry_functions, &blocks_vjp,   &blocks_jvp, &sample_networks,
            &sample_slopes, &sample_forces,      &close_points, &charges,    &products,
            &mesh};
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

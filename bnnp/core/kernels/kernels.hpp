// Entry points of the kernels, one set for each instruction set; dispatch.hpp chooses at run time.
#pragma once

#include <cstdint>

#include "kernels/tasks.hpp"
#include "plan/networks.hpp"
#include "plan/symmetry_functions.hpp"

namespace bnnp {

#define BNNP_DECLARE(set)                                                                                           \
    namespace set {                                                                                                 \
    /* One of the four sweeps for the centers [begin, end); float inside if `single`. */                            \
    void symmetry_functions(const Plan&, const PairList&, const Task&, bool single, std::int64_t begin,             \
                            std::int64_t end);                                                                      \
    /* Stored derivative blocks: dE/dD = sum over functions, or dG = sum over pairs. */                             \
    void blocks_vjp(const Plan&, const PairList&, const BlockTask&, std::int64_t begin, std::int64_t end);          \
    void blocks_jvp(const Plan&, const PairList&, const BlockTask&, std::int64_t begin, std::int64_t end);          \
    /* Networks with Monte Carlo dropout for the rows [begin, end). */                                              \
    void sample_networks(const NetworkPlan&, const SampleTask&, std::int64_t begin, std::int64_t end);              \
    /* The slopes of the centers [begin, end), and the forces of `count` samples from `sample` on, from them;       \
       both numbers are multiples of row_unit. */                                                                   \
    void sample_slopes(const Plan&, const PairList&, const NetworkPlan&, const SampleForceTask&,                    \
                       std::int64_t begin, std::int64_t end);                                                       \
    void sample_forces(const PairList&, const NetworkPlan&, const SampleForceTask&, int sample, int count,          \
                       std::int64_t begin, std::int64_t end);                                                       \
    /* The points of [begin, end) closer than the root of `square`, for the neighbor search. */                    \
    int close_points(const double* x, const double* y, const double* z, std::int64_t begin, std::int64_t end,       \
                     const double* point, double square, std::int32_t* found);                                      \
    }
BNNP_DECLARE(v2)
BNNP_DECLARE(v3)
BNNP_DECLARE(v4)
#undef BNNP_DECLARE

}  // namespace bnnp

// One namespace per instruction set, so that the linker keeps the variants apart.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bnnp {
namespace BNNP_INSTRUCTION_SET {
#include "pack.hpp"
#include "vectormath.hpp"
#include "radial.inl"
#include "angular.inl"
#include "workspace.inl"
#include "neighborhood.inl"
#include "kernels.inl"
#include "blocks.inl"
#include "networks.inl"
#include "forces.inl"
#include "search.inl"

void symmetry_functions(const Plan& plan, const PairList& pairs, const Task& task, bool single,
                        std::int64_t begin, std::int64_t end) {
    if (single) Kernel<float>(plan, pairs, task).run(begin, end);
    else Kernel<double>(plan, pairs, task).run(begin, end);
}

}  // namespace BNNP_INSTRUCTION_SET
}  // namespace bnnp

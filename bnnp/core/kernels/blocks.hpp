// Where the block of derivatives of each pair begins: (3, n_sensitive), only the functions of the center that
// can depend on an atom of the neighbor's element.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tasks.hpp"
#include "plan/symmetry_functions.hpp"

namespace bnnp {

// (n_pairs + 1,)
inline std::vector<std::int64_t> block_offsets(const Plan& plan, const PairList& pairs) {
    std::vector<std::int64_t> offsets(pairs.first[pairs.n_atoms] + 1, 0);
    for (std::int64_t i = 0; i < pairs.n_atoms; ++i) {
        const auto& sensitive = plan.elements[pairs.types[i]].sensitive;
        for (std::int64_t p = pairs.first[i]; p < pairs.first[i + 1]; ++p)
            offsets[p + 1] = offsets[p] + 3 * std::int64_t(sensitive[pairs.types[pairs.neighbors[p]]].size());
    }
    return offsets;
}

}  // namespace bnnp

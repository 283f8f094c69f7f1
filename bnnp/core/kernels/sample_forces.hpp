// Forces of every Monte Carlo sample, some centers at a time, on several threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/blocks.hpp"
#include "kernels/kernels.hpp"
#include "kernels/threads.hpp"

namespace bnnp {

// `task` without block_offsets and slopes: these take tens of kilobytes an atom and are made for some centers
// at a time. The sums run in the order of the centers, whatever the number of threads: these share the
// samples.
inline void add_sample_forces(const Kernels& kernels, const Plan& plan, const PairList& pairs,
                              const NetworkPlan& networks, SampleForceTask task, int threads) {
    const std::int64_t at_a_time = 64 * threads;
    const int units = networks.sample_row() / row_unit;  // of the samples, in shares of even size
    const int shares = (units + 3) / 4;
    const std::vector<std::int64_t> offsets = block_offsets(plan, pairs);
    task.block_offsets = offsets.data();
    std::vector<double> slopes;
    for (std::int64_t begin = 0; begin < pairs.n_atoms; begin += at_a_time) {
        const Range centers{begin, std::min(begin + at_a_time, pairs.n_atoms)};
        const std::int64_t n = centers.end - begin, n_pairs = pairs.first[centers.end] - pairs.first[begin];
        slopes.resize(std::max(slopes.size(), std::size_t(n_pairs + 4 * n) * 3 * padded(networks.span)));
        task.first_center = begin;
        task.slopes = slopes.data();
        parallel(centers, threads,
                 [&](Range some) { kernels.sample_slopes(plan, pairs, networks, task, some); });
        parallel_pieces(shares, n < 32 ? 1 : threads, [&](std::int64_t share) {
            const Range samples{units * share / shares * row_unit, units * (share + 1) / shares * row_unit};
            kernels.sample_forces(pairs, networks, task, samples, centers);
        });
    }
}

}  // namespace bnnp

// Forces of every Monte Carlo sample, some centers at a time, on several threads.
#pragma once

#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/threads.hpp"

namespace bnnp {

// `task` without slopes: they take tens of kilobytes an atom and are made for some centers at a time. The sums run in
// the order of the centers, whatever the number of threads: these share the samples.
inline void add_sample_forces(const Kernels& kernels, const Plan& plan, const PairList& pairs, const NetworkPlan& networks,
                              SampleForceTask task, int threads) {
    const std::int64_t at_a_time = 64 * threads;
    const int units = networks.sample_row() / row_unit, shares = (units + 3) / 4;  // of the samples, of even size
    std::vector<double> slopes;
    for (std::int64_t begin = 0; begin < pairs.n_atoms; begin += at_a_time) {
        const std::int64_t end = std::min(begin + at_a_time, pairs.n_atoms);
        const std::size_t matrices = std::size_t(pairs.first[end] - pairs.first[begin] + 4 * (end - begin));
        slopes.resize(std::max(slopes.size(), matrices * 3 * padded(networks.span)));
        task.first_center = begin;
        task.slopes = slopes.data();
        parallel(end - begin, threads, [&](auto b, auto e) { kernels.sample_slopes(plan, pairs, networks, task, begin + b, begin + e); });
        parallel_pieces(shares, end - begin < 32 ? 1 : threads, [&](int n) {
            const int first = units * n / shares, last = units * (n + 1) / shares;
            kernels.sample_forces(pairs, networks, task, first * row_unit, (last - first) * row_unit, begin, end);
        });
    }
}

}  // namespace bnnp

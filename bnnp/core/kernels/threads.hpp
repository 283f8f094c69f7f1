// Threads over atoms, or over a few equal pieces of work.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "kernels/tasks.hpp"

namespace bnnp {

// Calls work(n) for n = 0 ... count - 1.
template <typename Work>
void parallel_pieces(std::int64_t count, int threads, Work work) {
    std::atomic<std::int64_t> next{0};
    auto worker = [&] {
        for (std::int64_t n; (n = next.fetch_add(1)) < count;) work(n);
    };
    std::vector<std::thread> pool;
    threads = int(std::min<std::int64_t>(threads, count));
    for (int t = 1; t < threads; ++t) pool.emplace_back(worker);
    worker();
    for (std::thread& thread : pool) thread.join();
}

// Calls work(range) for pieces of `all`. A thread is worth starting for some tens of atoms only.
template <typename Work>
void parallel(Range all, int threads, Work work) {
    const std::int64_t n = all.end - all.begin;
    threads = int(std::min<std::int64_t>(threads, n / 32));
    if (threads <= 1) return work(all);
    const std::int64_t chunk = std::max<std::int64_t>(1, n / (std::int64_t(threads) * 8));
    parallel_pieces((n + chunk - 1) / chunk, threads, [&](std::int64_t piece) {
        const std::int64_t begin = all.begin + piece * chunk;
        work(Range{begin, std::min(begin + chunk, all.end)});
    });
}

}  // namespace bnnp

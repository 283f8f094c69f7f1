// Threads over atoms.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace bnnp {

// Calls work(begin, end) for pieces of [0, n). A thread is worth starting for some tens of atoms only.
template <typename Work>
void parallel(std::int64_t n, int threads, Work work) {
    threads = int(std::min<std::int64_t>(threads, n / 32));
    if (threads <= 1) return work(std::int64_t(0), n);
    const std::int64_t chunk = std::max<std::int64_t>(1, n / (std::int64_t(threads) * 8));
    std::atomic<std::int64_t> next{0};
    auto worker = [&] {
        for (std::int64_t begin; (begin = next.fetch_add(chunk)) < n;) work(begin, std::min(begin + chunk, n));
    };
    std::vector<std::thread> pool;
    for (int t = 1; t < threads; ++t) pool.emplace_back(worker);
    worker();
    for (std::thread& thread : pool) thread.join();
}

}  // namespace bnnp

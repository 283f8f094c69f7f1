// Which kernels this machine can run, and the threads to run them on.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/kernels.hpp"
#include "kernels/threads.hpp"

namespace bnnp {

// ---- instruction set -------------------------------------------------------------------------------------------

struct Kernels {
    const char* name;
    decltype(&v2::symmetry_functions) symmetry_functions;
    decltype(&v2::blocks_vjp) blocks_vjp;
    decltype(&v2::blocks_jvp) blocks_jvp;
    decltype(&v2::sample_networks) sample_networks;
    decltype(&v2::sample_slopes) sample_slopes;
    decltype(&v2::sample_forces) sample_forces;
    decltype(&v2::close_points) close_points;
};

#define BNNP_KERNELS(name, set) \
    {name, set::symmetry_functions, set::blocks_vjp, set::blocks_jvp, set::sample_networks, set::sample_slopes, set::sample_forces, set::close_points}

inline std::vector<Kernels> available() {
#if defined(__x86_64__)
    std::vector<Kernels> sets{BNNP_KERNELS("x86-64-v2", v2)};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        sets.push_back(BNNP_KERNELS("x86-64-v3", v3));
    if (sets.size() == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
        sets.push_back(BNNP_KERNELS("x86-64-v4", v4));
    return sets;
#else
    return {BNNP_KERNELS("generic", v2)};
#endif
}

// The best set of this machine, or the one the environment variable BNNP_INSTRUCTION_SET names.
inline Kernels choose_kernels() {
    const auto sets = available();
    const char* wanted = std::getenv("BNNP_INSTRUCTION_SET");
    if (!wanted || !*wanted) return sets.back();
    std::string known;
    for (const Kernels& set : sets) {
        if (std::string(wanted) == set.name) return set;
        known += std::string(known.empty() ? "" : ", ") + set.name;
    }
    throw std::invalid_argument(std::string("BNNP_INSTRUCTION_SET is ") + wanted + " but this machine can run: " + known);
}

}  // namespace bnnp

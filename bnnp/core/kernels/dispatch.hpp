// Which kernels this machine can run.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace bnnp {

inline std::vector<Kernels> available() {
    std::vector<Kernels> sets{v2::kernels};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        sets.push_back(v3::kernels);
    if (sets.size() == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512cd"))
        sets.push_back(v4::kernels);
#endif
    return sets;
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
    throw std::invalid_argument(std::string("BNNP_INSTRUCTION_SET is ") + wanted +
                                " but this machine can run: " + known);
}

}  // namespace bnnp

// Angular factors p(cos theta) and dp/dcos over arrays of cosines.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/radial.inl"
#include "plan/symmetry_functions.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

template <int Z, bool DERIVATIVE, typename T>
static void power_loop(const Angle& m, const T* __restrict c, Curve<T> p, int n) {
    const T lambda = T(m.lambda), prefactor = T(m.prefactor), slope = T(m.prefactor * m.lambda * Z);
#pragma GCC ivdep
    for (int t = 0; t < n; ++t) {
        const T base = maximum(T(1) + lambda * c[t], T(0));
        const T lower = integer_power<Z - 1>(base);
        p.value[t] = prefactor * lower * base;
        if constexpr (DERIVATIVE) p.slope[t] = slope * lower;
    }
}

// Any exponent. zeta < 1 has a cusp, zeta < 0 a pole where the base vanishes: there both count as zero.
template <bool DERIVATIVE, typename T>
static void any_power(const Angle& m, const T* c, Curve<T> p, int n) {
    for (int t = 0; t < n; ++t) {
        const double base = std::max(1.0 + m.lambda * double(c[t]), 0.0);
        p.value[t] = base > 0.0 ? T(m.prefactor * std::pow(base, m.zeta)) : T(0);
        if constexpr (DERIVATIVE) {
            const double slope = m.prefactor * m.zeta * m.lambda * std::pow(base, m.zeta - 1.0);
            p.slope[t] = base > 0.0 ? T(slope) : T(0);
        }
    }
}

template <bool DERIVATIVE, typename T>
static void power(const Angle& m, const T* c, Curve<T> p, int n) {
    switch (m.integer_zeta) {
        case 1: return power_loop<1, DERIVATIVE>(m, c, p, n);
        case 2: return power_loop<2, DERIVATIVE>(m, c, p, n);
        case 3: return power_loop<3, DERIVATIVE>(m, c, p, n);
        case 4: return power_loop<4, DERIVATIVE>(m, c, p, n);
        case 6: return power_loop<6, DERIVATIVE>(m, c, p, n);
        case 8: return power_loop<8, DERIVATIVE>(m, c, p, n);
        case 12: return power_loop<12, DERIVATIVE>(m, c, p, n);
        case 16: return power_loop<16, DERIVATIVE>(m, c, p, n);
        case 32: return power_loop<32, DERIVATIVE>(m, c, p, n);
        case 64: return power_loop<64, DERIVATIVE>(m, c, p, n);
        default: return any_power<DERIVATIVE>(m, c, p, n);
    }
}

constexpr double degree = 57.29577951308232087680;

// theta in degrees and dtheta/dcos = -1 / sin(theta), which counts as zero on the axis: all bumps are even
// there.
template <typename T>
static void angles_of_cosines(const T* __restrict c, Curve<T> theta, int n) {
    const T smallest = sizeof(T) == 8 ? T(1e-24) : T(1e-12);
#pragma GCC ivdep
    for (int t = 0; t < n; ++t) {
        const T square = (T(1) - c[t]) * (T(1) + c[t]);
        theta.value[t] = T(degree) * arccosine(c[t]);
        theta.slope[t] = square > smallest ? T(-degree) / std::sqrt(square) : T(0);
    }
}

// Type 8: four Gaussians, as theta_s, -theta_s and these shifted by a turn are the same angle.
template <typename T>
static void gaussian_bump(const Angle& m, Curve<T> theta, Curve<T> p, int n) {
    const T eta = T(m.eta), theta_s = T(m.theta_s);
    const T shifts[] = {-theta_s, theta_s - T(360), theta_s, -theta_s - T(360)};
#pragma GCC ivdep
    for (int t = 0; t < n; ++t) {
        T value = T(0), slope = T(0);
        for (int s = 0; s < 4; ++s) {
            const T x = theta.value[t] + shifts[s], g = exponential(-eta * x * x);
            value += g;
            slope -= T(2) * eta * x * g;
        }
        p.value[t] = value;
        p.slope[t] = slope * theta.slope[t];
    }
}

template <typename T>
static void compact_bump(const Angle& m, Curve<T> theta, Curve<T> p, int n) {
    const T center = T(m.center), inverse_width = T(1.0 / m.half_width);
    with_core(m.core, [&](auto core) {
#pragma GCC ivdep
        for (int t = 0; t < n; ++t) {
            T value, slope;
            compact_function<core(), false>(theta.value[t], center, inverse_width, value, slope);
            p.value[t] = value;
            p.slope[t] = slope * theta.slope[t];
        }
    });
}

template <bool DERIVATIVE, typename T>
static void angular_factor(const Angle& m, const T* c, Curve<T> theta, Curve<T> p, int n) {
    switch (m.kind) {
        case AngleKind::power: return power<DERIVATIVE>(m, c, p, n);
        case AngleKind::gaussian: return gaussian_bump(m, theta, p, n);
        case AngleKind::compact: return compact_bump(m, theta, p, n);
    }
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

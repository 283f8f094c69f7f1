// Cutoff functions and radial factors over arrays of squared distances. A derivative is (df/dr) / r, which is
// what multiplies a displacement vector: d f(|D|) / dD = (f'/r) D.
#pragma once

#include <cmath>
#include <type_traits>

#include "kernels/vectormath.inl"
#include "kernels/workspace.inl"
#include "plan/symmetry_functions.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

// n2p2's POLY1 - POLY4, f(0) = 1, f(1) = 0, and df/dx, in powers of 1 - x: no cancellation where f is small.
template <int N, typename T>
static inline void polynomial(T x, T& value, T& slope) {
    const T y = T(1) - x, d = x * y;
    if constexpr (N == 1) {
        value = y * y * (T(3) - T(2) * y);
        slope = T(-6) * d;
    } else if constexpr (N == 2) {
        value = y * y * y * ((T(6) * y - T(15)) * y + T(10));
        slope = T(-30) * d * d;
    } else if constexpr (N == 3) {
        value = y * y * y * y * (((T(-20) * y + T(70)) * y - T(84)) * y + T(35));
        slope = T(-140) * d * d * d;
    } else {
        value = y * y * y * y * y * ((((T(70) * y - T(315)) * y + T(540)) * y - T(420)) * y + T(126));
        slope = T(-630) * d * d * d * d;
    }
}

// f(x) = exp(1 - 1 / (1 - x^2)), n2p2's exponential, for 0 <= x <= 1
template <typename T>
static inline void smooth_exponential(T x, T& value, T& slope) {
    const T q = maximum(T(1) - x * x, T(1.3e-3));
    value = exponential(T(1) - T(1) / q);
    slope = value * T(-2) * x / (q * q);
}

// Cutoff function fc(r) and fc'(r)/r; zero at and beyond the radius. Types as in n2p2 (A. Singraber et al.,
// J. Chem. Theory Comput. 15, 1827 (2019)): 0 hard, 1 cosine, 2 tanh^3, 3 normalized tanh^3, 4 exponential,
// 5-8 polynomials.
template <int TYPE, bool DERIVATIVE, typename T>
static void cutoff_loop(const CutoffFunction& f, const T* __restrict square, Curve<T> fc, int n) {
    const T inner = T(f.inner), width = T(1.0 / (f.radius - f.inner)), inverse_rc = T(1.0 / f.radius);
    const T limit = T(f.radius * f.radius);
#pragma GCC ivdep
    for (int i = 0; i < n; ++i) {
        T value = T(1), derivative = T(0);
        if constexpr (TYPE == 2 || TYPE == 3) {
            const T r = std::sqrt(square[i]);
            const T t = short_tanh(maximum(T(1) - r * inverse_rc, T(0)));
            const T scale = TYPE == 3 ? T(2.26375379522535079538) : T(1);  // 1 / tanh^3(1)
            value = scale * t * t * t;
            if constexpr (DERIVATIVE) derivative = scale * T(-3) * inverse_rc * t * t * (T(1) - t * t) / r;
        } else if constexpr (TYPE != 0) {
            const T r = std::sqrt(square[i]), x = minimum(maximum((r - inner) * width, T(0)), T(1));
            if constexpr (TYPE == 1) {
                const T t = x * x, y = T(1) - t;
                value = y * y * cosine_part(t);
                derivative = -x * y * sine_part(t);
            } else if constexpr (TYPE == 4) {
                smooth_exponential(x, value, derivative);
            } else {
                polynomial<TYPE - 4>(x, value, derivative);
            }
            if constexpr (DERIVATIVE) derivative = r < inner ? T(0) : derivative * width / r;
        }
        const bool inside = square[i] < limit;
        fc.value[i] = inside ? value : T(0);
        if constexpr (DERIVATIVE) fc.slope[i] = inside ? derivative : T(0);
    }
}

// The cosine without inner radius is analytic in r^2: no root, no division.
template <bool DERIVATIVE, typename T>
static void cosine_cutoff(const CutoffFunction& f, const T* __restrict square, Curve<T> fc, int n) {
    const T scale = T(1.0 / (f.radius * f.radius));
#pragma GCC ivdep
    for (int i = 0; i < n; ++i) {
        const T t = minimum(square[i] * scale, T(1)), y = T(1) - t;
        fc.value[i] = y * y * cosine_part(t);
        if constexpr (DERIVATIVE) fc.slope[i] = -scale * y * sine_part(t);
    }
}

template <bool DERIVATIVE, typename T>
static void cutoff_function(const CutoffFunction& f, const T* square, Curve<T> fc, int n) {
    switch (f.type) {
        case 0: return cutoff_loop<0, DERIVATIVE>(f, square, fc, n);
        case 1:
            if (f.inner == 0.0) return cosine_cutoff<DERIVATIVE>(f, square, fc, n);
            return cutoff_loop<1, DERIVATIVE>(f, square, fc, n);
        case 2: return cutoff_loop<2, DERIVATIVE>(f, square, fc, n);
        case 3: return cutoff_loop<3, DERIVATIVE>(f, square, fc, n);
        case 4: return cutoff_loop<4, DERIVATIVE>(f, square, fc, n);
        case 5: return cutoff_loop<5, DERIVATIVE>(f, square, fc, n);
        case 6: return cutoff_loop<6, DERIVATIVE>(f, square, fc, n);
        case 7: return cutoff_loop<7, DERIVATIVE>(f, square, fc, n);
        default: return cutoff_loop<8, DERIVATIVE>(f, square, fc, n);
    }
}

// C(x; center, half width) and dC/dx of the compact functions; CORE 1-4 are POLY1-4, 5 the exponential.
template <int CORE, bool ASYMMETRIC, typename T>
static inline void compact_function(T x, T center, T inverse_width, T& value, T& slope) {
    const T y = minimum(std::abs(x - center) * inverse_width, T(1));
    const T inner = ASYMMETRIC ? (T(2) - y) * y : y;
    if constexpr (CORE == 5) smooth_exponential(inner, value, slope);
    else polynomial<CORE>(inner, value, slope);
    value = y < T(1) ? value : T(0);
    const T inner_slope = ASYMMETRIC ? T(2) - T(2) * y : T(1);
    slope = y < T(1) ? slope * inner_slope * (x < center ? -inverse_width : inverse_width) : T(0);
}

// Calls `work` with the core as a compile-time number.
template <typename Work>
static void with_core(int core, Work work) {
    switch (core) {
        case 1: return work(std::integral_constant<int, 1>());
        case 2: return work(std::integral_constant<int, 2>());
        case 3: return work(std::integral_constant<int, 3>());
        case 4: return work(std::integral_constant<int, 4>());
        default: return work(std::integral_constant<int, 5>());
    }
}

template <bool ASYMMETRIC, typename T>
static void compact_loop(const RadialFactor& f, const T* __restrict square, Curve<T> a, int n) {
    const T center = T(f.center), inverse_width = T(1.0 / f.half_width);
    with_core(f.core, [&](auto core) {
#pragma GCC ivdep
        for (int i = 0; i < n; ++i) {
            const T r = std::sqrt(square[i]);
            T value, derivative;
            compact_function<core(), ASYMMETRIC>(r, center, inverse_width, value, derivative);
            a.value[i] = value;
            a.slope[i] = derivative / r;
        }
    });
}

// a(r) and a'(r)/r: the factor's own shape times its envelope fc with fc'/r.
template <typename T>
static void radial_factor(const RadialFactor& f, const T* __restrict square, Curve<T> fc, Curve<T> a, int n) {
    const T eta = T(f.eta), r_s = T(f.r_s);
    if (f.kind == RadialKind::compact) {
        if (f.asymmetric) compact_loop<true>(f, square, a, n);
        else compact_loop<false>(f, square, a, n);
#pragma GCC ivdep
        for (int i = 0; i < n; ++i) a.value[i] *= fc.value[i], a.slope[i] *= fc.value[i];
    } else if (f.kind == RadialKind::cosine) {
        for (int i = 0; i < n; ++i) {
            const T r = std::sqrt(square[i]), c = std::cos(eta * r), s = std::sin(eta * r);
            a.value[i] = c * fc.value[i];
            a.slope[i] = c * fc.slope[i] - eta * s / r * fc.value[i];
        }
    } else if (f.eta == 0.0) {
#pragma GCC ivdep
        for (int i = 0; i < n; ++i) a.value[i] = fc.value[i], a.slope[i] = fc.slope[i];
    } else if (f.r_s == 0.0) {
#pragma GCC ivdep
        for (int i = 0; i < n; ++i) {
            const T e = exponential(-eta * square[i]);
            a.value[i] = e * fc.value[i];
            a.slope[i] = e * (fc.slope[i] - T(2) * eta * fc.value[i]);
        }
    } else {
#pragma GCC ivdep
        for (int i = 0; i < n; ++i) {
            const T r = std::sqrt(square[i]), d = r - r_s;
            const T e = exponential(-eta * d * d);
            a.value[i] = e * fc.value[i];
            a.slope[i] = e * (fc.slope[i] - T(2) * eta * d / r * fc.value[i]);
        }
    }
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

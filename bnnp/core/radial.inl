// Radial factors a(r) and their derivatives, over arrays of distances.

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

// Cutoff function fc(r) and dfc/dr; zero at and beyond the radius. Types as in n2p2 (A. Singraber et al.,
// J. Chem. Theory Comput. 15, 1827 (2019)): 0 hard, 1 cosine, 2 tanh^3, 3 normalised tanh^3, 4 exponential, 5-8 polynomials.
template <int TYPE, typename T>
static void cutoff_loop(const CutoffFunction& f, const T* __restrict r, T* __restrict fc, T* __restrict dfc, int n) {
    const T rc = T(f.radius), inner = T(f.inner), width = T(1.0 / (f.radius - f.inner)), inverse = T(1.0 / f.radius);
    for (int i = 0; i < n; ++i) {
        T x = minimum(maximum((r[i] - inner) * width, T(0)), T(1));
        T value = T(1), slope = T(0);
        if constexpr (TYPE == 1) {
            // cos(pi x) = -sin(y), sin(pi x) = cos(y) = 1 - 2 sin^2(y/2) with y = pi (x - 1/2)
            T y = T(3.14159265358979323846) * (x - T(0.5));
            T half = sine(T(0.5) * y);
            value = T(0.5) - T(0.5) * sine(y);
            slope = T(-1.57079632679489661923) * width * (T(1) - T(2) * half * half);
        } else if constexpr (TYPE == 2 || TYPE == 3) {
            T e = exponential(T(-2) * (T(1) - minimum(r[i] * inverse, T(1))));
            T t = (T(1) - e) / (T(1) + e);
            const T scale = TYPE == 3 ? T(2.26375379522535079538) : T(1);  // 1 / tanh^3(1)
            value = scale * t * t * t;
            slope = scale * T(-3) * inverse * t * t * (T(1) - t * t);
        } else if constexpr (TYPE == 4) {
            T q = maximum(T(1) - x * x, T(1.3e-3));
            value = exponential(T(1) - T(1) / q);
            slope = value * T(-2) * x * width / (q * q);
        } else if constexpr (TYPE == 5) {
            polynomial<1>(x, value, slope);
            slope *= width;
        } else if constexpr (TYPE == 6) {
            polynomial<2>(x, value, slope);
            slope *= width;
        } else if constexpr (TYPE == 7) {
            polynomial<3>(x, value, slope);
            slope *= width;
        } else if constexpr (TYPE == 8) {
            polynomial<4>(x, value, slope);
            slope *= width;
        }
        bool inside = r[i] < rc;
        fc[i] = inside ? value : T(0);
        dfc[i] = inside && r[i] >= inner ? slope : T(0);
    }
}

template <typename T>
static void cutoff_function(const CutoffFunction& f, const T* r, T* fc, T* dfc, int n) {
    switch (f.type) {
        case 0: return cutoff_loop<0>(f, r, fc, dfc, n);
        case 1: return cutoff_loop<1>(f, r, fc, dfc, n);
        case 2: return cutoff_loop<2>(f, r, fc, dfc, n);
        case 3: return cutoff_loop<3>(f, r, fc, dfc, n);
        case 4: return cutoff_loop<4>(f, r, fc, dfc, n);
        case 5: return cutoff_loop<5>(f, r, fc, dfc, n);
        case 6: return cutoff_loop<6>(f, r, fc, dfc, n);
        case 7: return cutoff_loop<7>(f, r, fc, dfc, n);
        default: return cutoff_loop<8>(f, r, fc, dfc, n);
    }
}

// Core of the compact functions: f(0) = 1, f(1) = 0, zero beyond.
template <typename T>
static inline void core_function(int core, T y, T& value, T& slope) {
    value = slope = T(0);
    if (y >= T(1)) return;
    switch (core) {
        case 1: return polynomial<1>(y, value, slope);
        case 2: return polynomial<2>(y, value, slope);
        case 3: return polynomial<3>(y, value, slope);
        case 4: return polynomial<4>(y, value, slope);
        default: {
            T q = maximum(T(1) - y * y, T(1.3e-3));
            value = exponential(T(1) - T(1) / q);
            slope = value * T(-2) * y / (q * q);
        }
    }
}

// C(x; centre, half width) and dC/dx.
template <typename T>
static inline void compact_function(int core, bool asymmetric, T x, T centre, T half_width, T& value, T& slope) {
    T y = std::abs(x - centre) / half_width;
    T inner = asymmetric ? (T(2) - y) * y : y;
    core_function(core, y < T(1) ? inner : T(1), value, slope);
    slope *= (asymmetric ? T(2) - T(2) * y : T(1)) * (x < centre ? T(-1) : T(1)) / half_width;
}

// a(r) and da/dr for n distances. fc and dfc are scratch of the same length.
template <typename T>
static void radial_factor(const RadialFactor& f, const T* __restrict r, T* __restrict a, T* __restrict da,
                          T* __restrict fc, T* __restrict dfc, int n) {
    if (f.kind == RadialKind::compact) {
        for (int i = 0; i < n; ++i)
            compact_function(f.core, f.asymmetric, r[i], T(f.centre), T(f.half_width), a[i], da[i]);
        return;
    }
    cutoff_function(f.cutoff, r, fc, dfc, n);
    const T eta = T(f.eta), r_s = T(f.r_s);
    if (f.kind == RadialKind::cosine) {
        for (int i = 0; i < n; ++i) {
            T c = std::cos(eta * r[i]), s = std::sin(eta * r[i]);
            a[i] = c * fc[i];
            da[i] = c * dfc[i] - eta * s * fc[i];
        }
    } else if (f.eta == 0.0) {
        for (int i = 0; i < n; ++i) a[i] = fc[i], da[i] = dfc[i];
    } else {
#pragma GCC ivdep
        for (int i = 0; i < n; ++i) {
            T d = r[i] - r_s;
            T e = exponential(-eta * d * d);
            a[i] = e * fc[i];
            da[i] = e * (dfc[i] - T(2) * eta * d * fc[i]);
        }
    }
}

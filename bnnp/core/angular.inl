// Angular factors p(cos theta) and dp/dcos over arrays of cosines.

template <int Z, bool DERIVATIVE, typename T>
static void power_loop(const AngularMember& m, const T* __restrict c, T* __restrict p, T* __restrict dp, int n) {
    const T lambda = T(m.lambda), prefactor = T(m.prefactor), slope = T(m.prefactor * m.lambda * Z);
#pragma GCC ivdep
    for (int t = 0; t < n; ++t) {
        const T base = maximum(T(1) + lambda * c[t], T(0));
        const T lower = integer_power<Z - 1>(base);
        p[t] = prefactor * lower * base;
        if constexpr (DERIVATIVE) dp[t] = slope * lower;
    }
}

// Any exponent. zeta < 1 has a cusp where the base vanishes: its derivative counts as zero there.
template <bool DERIVATIVE, typename T>
static void any_power(const AngularMember& m, const T* c, T* p, T* dp, int n) {
    for (int t = 0; t < n; ++t) {
        const double base = std::max(1.0 + m.lambda * double(c[t]), 0.0);
        p[t] = T(m.prefactor * std::pow(base, m.zeta));
        if constexpr (DERIVATIVE)
            dp[t] = base > 0.0 ? T(m.prefactor * m.zeta * m.lambda * std::pow(base, m.zeta - 1.0)) : T(0);
    }
}

// Functions of the angle itself: types 8 and 20-25. d theta/d cos = -1/sin; all bumps are even about 0 and pi.
template <typename T>
static void bump(const AngularMember& m, T cosine, T& p, T& dp) {
    const double degree = 57.29577951308232087680, c = double(cosine);
    const double theta = std::acos(c) * degree, sine = std::sqrt(std::max(1.0 - c * c, 0.0));
    double value = 0.0, slope = 0.0;
    if (m.kind == AngularKind::gaussian) {
        for (double x : {theta - m.theta_s, theta + m.theta_s - 360.0, theta + m.theta_s, theta - m.theta_s - 360.0}) {
            const double g = std::exp(-m.eta * x * x);
            value += g;
            slope -= 2.0 * m.eta * x * g;
        }
    } else {
        compact_function(m.core, false, theta, m.centre, m.half_width, value, slope);
    }
    p = T(value);
    dp = sine > 1e-12 ? T(-slope * degree / sine) : T(0);
}

template <bool DERIVATIVE, typename T>
static void angular_factor(const AngularMember& m, const T* c, T* p, T* dp, int n) {
    if (m.kind != AngularKind::power) {
        for (int t = 0; t < n; ++t) bump(m, c[t], p[t], dp[t]);
        return;
    }
    switch (m.integer_zeta) {
        case 1: return power_loop<1, DERIVATIVE>(m, c, p, dp, n);
        case 2: return power_loop<2, DERIVATIVE>(m, c, p, dp, n);
        case 3: return power_loop<3, DERIVATIVE>(m, c, p, dp, n);
        case 4: return power_loop<4, DERIVATIVE>(m, c, p, dp, n);
        case 6: return power_loop<6, DERIVATIVE>(m, c, p, dp, n);
        case 8: return power_loop<8, DERIVATIVE>(m, c, p, dp, n);
        case 12: return power_loop<12, DERIVATIVE>(m, c, p, dp, n);
        case 16: return power_loop<16, DERIVATIVE>(m, c, p, dp, n);
        case 32: return power_loop<32, DERIVATIVE>(m, c, p, dp, n);
        case 64: return power_loop<64, DERIVATIVE>(m, c, p, dp, n);
        default: return any_power<DERIVATIVE>(m, c, p, dp, n);
    }
}

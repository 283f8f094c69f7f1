// Elementary functions without branches or tables, so that the compiler turns loops over them into SIMD code.
// Accuracy about 1 ulp in the ranges stated; tested against the C library through the symmetry functions.
// The coefficients are Chebyshev interpolations in powers of the argument, highest power first, computed with
// 50 digits (mpmath's chebyfit); their relative errors are below 2e-16 for double and 2e-8 for float.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/instruction_set.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

template <typename T>
struct Bits;
template <>
struct Bits<double> {
    using Int = std::int64_t;
    static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr int mantissa = 52, bias = 1023;
    static constexpr double lowest = -708.0;
    static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
};
template <>
struct Bits<float> {
    using Int = std::int32_t;
    static constexpr float magic = 12582912.0f;  // 1.5 * 2^23
    static constexpr int mantissa = 23, bias = 127;
    static constexpr float lowest = -87.0f;
    static constexpr float ln2_high = 6.93145752e-1f, ln2_low = 1.42860677e-6f;
};

template <typename T, int N>
static inline T horner(const double (&coefficients)[N], T x) {
    T sum = T(coefficients[0]);
    for (int i = 1; i < N; ++i) sum = sum * x + T(coefficients[i]);
    return sum;
}

// Chosen by precision: polynomial(x) of the double or of the float coefficients.
#define BNNP_POLYNOMIAL(name, ...)                                     \
    template <typename T>                                              \
    static inline T name(T x) {                                        \
        if constexpr (sizeof(T) == 8) return horner(name##_double, x); \
        else return horner(name##_float, x);                           \
    }

// (exp(x) - 1) / x for |x| <= ln(2)/2
constexpr double exponential_part_double[] = {2.51052595384484934e-8,
                                              2.76264263765803328e-7,
                                              2.75572552979696444e-6,
                                              0.0000248015041808371383,
                                              0.000198412698749012592,
                                              0.00138888889326196351,
                                              0.00833333333332611205,
                                              0.0416666666665727677,
                                              0.16666666666666671,
                                              0.500000000000000565,
                                              1.0};
constexpr double exponential_part_float[] = {0.00139336858626171736, 0.00836918438229196143,
                                             0.0416664646020265416,  0.166665049369635965,
                                             0.500000001349817786,   1.00000001080395231};
BNNP_POLYNOMIAL(exponential_part)

// tanh(sqrt(x)) / sqrt(x) for 0 <= x <= 1
constexpr double tanh_part_double[] = {
    1.82862573997894701e-7,  -1.8226646212654276e-6,   9.12595359626483509e-6,  -0.0000318033780304119435,
    0.000090793484484327759, -0.000235409281727311172, 0.000588360282688676122, -0.00145528980654175845,
    0.00359200103152668842,  -0.00886321506520755792,  0.0218694863713148246,   -0.0539682538296900735,
    0.133333333328669881,    -0.333333333333271158,    0.999999999999999862};
constexpr double tanh_part_float[] = {
    -0.000352328094363313494, 0.00227864766487116317, -0.00791248505883569192, 0.0214614101552566265,
    -0.0538697067248163193,   0.133321393051748191,   -0.333332773781332529,   0.99999999564229773};
BNNP_POLYNOMIAL(tanh_part)

// (1 + cos(pi sqrt(x))) / (2 (1 - x)^2) for 0 <= x <= 1
constexpr double cosine_part_double[] = {
    -3.39601683311146771e-11,  1.72068655749993444e-9,  -6.5895018626600658e-8, 2.01799619412050199e-6,
    -0.0000482171437299912762, 0.000866334860001087631, -0.0111225588274456524, 0.0945538626636970053,
    -0.467401100272339419,     0.999999999999999999};
constexpr double cosine_part_float[] = {-0.0000425195744252958782, 0.000860052335852080401,
                                        -0.0111193318048220202,    0.0945531100576080194,
                                        -0.467401035917153681,     0.999999999106591141};
BNNP_POLYNOMIAL(cosine_part)

// (pi/2) sin(pi sqrt(x)) / (sqrt(x) (1 - x)) for 0 <= x <= 1
constexpr double sine_part_double[] = {
    -7.53288777371804876e-10, 3.50543041852238065e-8, -1.21369991349673311e-6, 0.000033210533469597753,
    -0.000699256008228453628, 0.0108781897736924626,  -0.118156267158246606,   0.823166254274722851,
    -3.18262205228885142,     4.93480220054467928};
constexpr double sine_part_float[] = {-0.000606162062194676261, 0.0107757882285080006, -0.118103729223973526,
                                      0.823154008801100394,     -3.18262100548807814,  4.93480218601332611};
BNNP_POLYNOMIAL(sine_part)

// asin(sqrt(x)) / sqrt(x) for 0 <= x <= 1/4
constexpr double arcsine_part_double[] = {0.0318796214008128394,
                                          -0.0161873922715991332,
                                          0.019513468251252168,
                                          0.00652930200473656928,
                                          0.0121701385923917263,
                                          0.0138848428264020808,
                                          0.0173597796413499801,
                                          0.0223717497331640541,
                                          0.0303819596976851382,
                                          0.0446428568059989384,
                                          0.0750000000038520167,
                                          0.166666666666649412,
                                          1.0};
constexpr double arcsine_part_float[] = {0.0376771383418485973, 0.0142952560378201079, 0.0318571888941127594,
                                         0.0445087094986515325, 0.0750057138102468535, 0.16666657639575912,
                                         1.00000000023077831};
BNNP_POLYNOMIAL(arcsine_part)

#undef BNNP_POLYNOMIAL

template <typename T>
static inline T maximum(T a, T b) {
    return a > b ? a : b;
}
template <typename T>
static inline T minimum(T a, T b) {
    return a < b ? a : b;
}

// exp(x) for x <= 88 (float) or 709 (double); below -87 or -708 it stays at the smallest normal number.
template <typename T>
static inline T exponential(T x) {
    using B = Bits<T>;
    x = maximum(x, B::lowest);
    const T shifted = x * T(1.4426950408889634) + B::magic;
    const T n = shifted - B::magic;
    const T r = (x - n * B::ln2_high) - n * B::ln2_low;
    const auto bits = __builtin_bit_cast(typename B::Int, shifted);
    using Unsigned = std::make_unsigned_t<typename B::Int>;
    const auto scale = static_cast<typename B::Int>(static_cast<Unsigned>(bits + B::bias) << B::mantissa);
    return (r * exponential_part(r) + T(1)) * __builtin_bit_cast(T, scale);
}

// tanh(x) for 0 <= x <= 1
template <typename T>
static inline T short_tanh(T x) {
    return x * tanh_part(x * x);
}

// acos(x) for |x| <= 1
template <typename T>
static inline T arccosine(T x) {
    const T size = std::abs(x);
    const bool outer = size > T(0.5);
    const T square = outer ? T(0.5) - T(0.5) * size : x * x;
    const T arcsine = (outer ? std::sqrt(square) : size) * arcsine_part(square);
    const T angle = outer ? T(2) * arcsine : T(1.57079632679489661923) - arcsine;  // of |x|
    return x < T(0) ? T(3.14159265358979323846) - angle : angle;
}

// b^n by squaring
template <int N, typename T>
static inline T integer_power(T b) {
    if constexpr (N == 0) return T(1);
    else if constexpr (N == 1) return b;
    else {
        const T half = integer_power<N / 2>(b);
        if constexpr (N % 2 == 0) return half * half;
        else return half * half * b;
    }
}

}  // namespace bnnp::BNNP_INSTRUCTION_SET

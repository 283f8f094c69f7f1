// One SIMD register of numbers (the vector extension of GCC and clang), and the choice of some of its lanes.
#pragma once

#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/instruction_set.hpp"

namespace bnnp::BNNP_INSTRUCTION_SET {

#if defined(__AVX512F__)
constexpr int register_bytes = 64;
#elif defined(__AVX2__)
constexpr int register_bytes = 32;
#else
constexpr int register_bytes = 16;
#endif

// Loads and stores go through types of their own that ask for no alignment but alias nothing except numbers:
// after a memcpy the compiler would have to read every pointer again.
template <typename T>
struct Register {
    static constexpr int lanes = register_bytes / int(sizeof(T));
    typedef T Pack __attribute__((vector_size(register_bytes)));
    typedef T Unaligned __attribute__((vector_size(register_bytes), aligned(alignof(T))));
};
template <typename T>
using Pack = typename Register<T>::Pack;
template <typename T>
constexpr int lanes = Register<T>::lanes;

template <typename T>
static inline Pack<T> load(const T* memory) {
    return *reinterpret_cast<const typename Register<T>::Unaligned*>(memory);
}
template <typename T>
static inline void store(T* memory, Pack<T> pack) {
    *reinterpret_cast<typename Register<T>::Unaligned*>(memory) = pack;
}
#if defined(__AVX512F__)
static inline double sum(Pack<double> pack) { return _mm512_reduce_add_pd(__m512d(pack)); }
static inline float sum(Pack<float> pack) { return _mm512_reduce_add_ps(__m512(pack)); }
#else
template <typename V>
static inline auto sum(V pack) {
    auto total = pack[0];
    for (int l = 1; l < int(sizeof(V) / sizeof(total)); ++l) total += pack[l];
    return total;
}
#endif

// Some lanes of a register. `pack` puts the chosen lanes of a register in memory one after the other,
// `unpack` reads them back to where they were, with zeros between. Both work on a whole register of memory:
// what lies behind the chosen lanes is overwritten, or read and dropped.
using Mask = std::uint16_t;

template <typename T>
class Lanes;

// Lanes from `first` on where u < u_limit and v < v_limit.
template <typename T>
static inline Mask mask_below(Pack<T> u, T u_limit, Pack<T> v, T v_limit, int first);

#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512DQ__)

template <>
inline Mask mask_below<double>(Pack<double> u, double u_limit, Pack<double> v, double v_limit, int first) {
    const __mmask8 below = _mm512_cmp_pd_mask(__m512d(u), _mm512_set1_pd(u_limit), _CMP_LT_OQ) &
                           _mm512_cmp_pd_mask(__m512d(v), _mm512_set1_pd(v_limit), _CMP_LT_OQ);
    return below & Mask(0xff << (first > 0 ? first : 0));
}

template <>
inline Mask mask_below<float>(Pack<float> u, float u_limit, Pack<float> v, float v_limit, int first) {
    const __mmask16 below = _mm512_cmp_ps_mask(__m512(u), _mm512_set1_ps(u_limit), _CMP_LT_OQ) &
                            _mm512_cmp_ps_mask(__m512(v), _mm512_set1_ps(v_limit), _CMP_LT_OQ);
    return below & Mask(0xffff << (first > 0 ? first : 0));
}

template <>
class Lanes<double> {
  public:
    explicit Lanes(Mask mask) : mask(__mmask8(mask)) {
        const __m512i lane = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
        order = _mm512_maskz_compress_epi64(mask, lane);
        place = _mm512_maskz_expand_epi64(mask, lane);
    }
    void pack(double* out, Pack<double> from) const {
        store(out, Pack<double>(_mm512_maskz_permutexvar_pd(0xff, order, __m512d(from))));
    }
    void pack_index(std::int32_t* out, int k) const {
        const __m256i numbers = _mm512_maskz_cvtepi64_epi32(0xff, order);
        _mm256_storeu_si256((__m256i*)out, _mm256_add_epi32(_mm256_set1_epi32(k), numbers));
    }
    Pack<double> unpack(const double* from) const {
        return Pack<double>(_mm512_maskz_permutexvar_pd(mask, place, __m512d(load(from))));
    }

  private:
    __mmask8 mask;
    __m512i order, place;  // lane of the n-th chosen one, and which of the chosen ones a lane is
};

template <>
class Lanes<float> {
  public:
    explicit Lanes(Mask mask) : mask(mask) {
        const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        order = _mm512_maskz_compress_epi32(mask, lane);
        place = _mm512_maskz_expand_epi32(mask, lane);
    }
    void pack(float* out, Pack<float> from) const {
        store(out, Pack<float>(_mm512_maskz_permutexvar_ps(0xffff, order, __m512(from))));
    }
    void pack_index(std::int32_t* out, int k) const {
        _mm512_storeu_si512(out, _mm512_add_epi32(_mm512_set1_epi32(k), order));
    }
    Pack<float> unpack(const float* from) const {
        return Pack<float>(_mm512_maskz_permutexvar_ps(mask, place, __m512(load(from))));
    }

  private:
    __mmask16 mask;
    __m512i order, place;  // lane of the n-th chosen one, and which of the chosen ones a lane is
};

#else

template <typename T>
static inline Mask mask_below(Pack<T> u, T u_limit, Pack<T> v, T v_limit, int first) {
    int mask = 0;
    for (int l = 0; l < lanes<T>; ++l) mask |= int((u[l] < u_limit) & (v[l] < v_limit) & (l >= first)) << l;
    return Mask(mask);
}

template <typename T>
class Lanes {
  public:
    explicit Lanes(Mask mask) : mask(mask) {}
    void pack(T* out, Pack<T> from) const {
        for (int l = 0; l < lanes<T>; ++l) {
            *out = from[l];
            out += mask >> l & 1;
        }
    }
    void pack_index(std::int32_t* out, int k) const {
        for (int l = 0; l < lanes<T>; ++l) {
            *out = k + l;
            out += mask >> l & 1;
        }
    }
    Pack<T> unpack(const T* from) const {
        Pack<T> result;
        for (int l = 0; l < lanes<T>; ++l) {
            result[l] = mask >> l & 1 ? *from : T(0);
            from += mask >> l & 1;
        }
        return result;
    }

  private:
    Mask mask;
};

#endif

}  // namespace bnnp::BNNP_INSTRUCTION_SET

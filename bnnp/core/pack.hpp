// One SIMD register of numbers (the vector extension of GCC and clang), and the choice of some of its lanes.
// This header is compiled once for each instruction set, inside its namespace.

#if defined(__AVX512F__)
constexpr int register_bytes = 64;
#elif defined(__AVX2__)
constexpr int register_bytes = 32;
#else
constexpr int register_bytes = 16;
#endif

// Loads and stores go through types of their own that ask for no alignment but alias nothing except numbers: after a
// memcpy the compiler would have to read every pointer again.
template <typename T>
struct Register {
    static constexpr int lanes = register_bytes / int(sizeof(T));
    typedef T Pack __attribute__((vector_size(register_bytes)));
    typedef T Unaligned __attribute__((vector_size(register_bytes), aligned(alignof(T))));
    typedef T Four __attribute__((vector_size(4 * sizeof(T))));
    typedef T UnalignedFour __attribute__((vector_size(4 * sizeof(T)), aligned(alignof(T))));
};
template <typename T>
using Pack = typename Register<T>::Pack;
template <typename T>
using Four = typename Register<T>::Four;  // x, y, z and one more number
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
template <typename T>
static inline Four<T> load_four(const T* memory) {
    return *reinterpret_cast<const typename Register<T>::UnalignedFour*>(memory);
}
template <typename T>
static inline void store_four(T* memory, Four<T> four) {
    *reinterpret_cast<typename Register<T>::UnalignedFour*>(memory) = four;
}

// Lanes from `first` on where u < u_limit and v < v_limit. `append` writes the chosen lanes one after the other; it may
// write a whole register, so that memory behind the last one must be there to be overwritten.
template <typename T>
class Selection;

#if defined(__AVX512F__) && defined(__AVX512VL__)

template <>
class Selection<double> {
  public:
    Selection(Pack<double> u, double u_limit, Pack<double> v, double v_limit, int first) {
        const __mmask8 below = _mm512_cmp_pd_mask(__m512d(u), _mm512_set1_pd(u_limit), _CMP_LT_OQ) &
                               _mm512_cmp_pd_mask(__m512d(v), _mm512_set1_pd(v_limit), _CMP_LT_OQ);
        mask = below & (0xff << (first > 0 ? first : 0));
        order = _mm512_maskz_compress_epi64(mask, _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
    }
    int size() const { return __builtin_popcount(mask); }
    void append(double* out, Pack<double> pack) const {
        store(out, Pack<double>(_mm512_permutexvar_pd(order, __m512d(pack))));
    }
    void append_index(std::int32_t* out, int k) const {
        _mm256_storeu_si256((__m256i*)out, _mm256_add_epi32(_mm256_set1_epi32(k), _mm512_cvtepi64_epi32(order)));
    }

  private:
    __mmask8 mask;
    __m512i order;
};

template <>
class Selection<float> {
  public:
    Selection(Pack<float> u, float u_limit, Pack<float> v, float v_limit, int first) {
        const __mmask16 below = _mm512_cmp_ps_mask(__m512(u), _mm512_set1_ps(u_limit), _CMP_LT_OQ) &
                                _mm512_cmp_ps_mask(__m512(v), _mm512_set1_ps(v_limit), _CMP_LT_OQ);
        mask = below & (0xffff << (first > 0 ? first : 0));
        order = _mm512_maskz_compress_epi32(mask, _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    }
    int size() const { return __builtin_popcount(mask); }
    void append(float* out, Pack<float> pack) const {
        store(out, Pack<float>(_mm512_permutexvar_ps(order, __m512(pack))));
    }
    void append_index(std::int32_t* out, int k) const {
        _mm512_storeu_si512(out, _mm512_add_epi32(_mm512_set1_epi32(k), order));
    }

  private:
    __mmask16 mask;
    __m512i order;
};

#else

template <typename T>
class Selection {
  public:
    Selection(Pack<T> u, T u_limit, Pack<T> v, T v_limit, int first) {
        for (int l = 0; l < lanes<T>; ++l) chosen[l] = (u[l] < u_limit) & (v[l] < v_limit) & (l >= first);
    }
    int size() const {
        int sum = 0;
        for (int l = 0; l < lanes<T>; ++l) sum += chosen[l];
        return sum;
    }
    void append(T* out, Pack<T> pack) const {
        for (int l = 0; l < lanes<T>; ++l) {
            *out = pack[l];
            out += chosen[l];
        }
    }
    void append_index(std::int32_t* out, int k) const {
        for (int l = 0; l < lanes<T>; ++l) {
            *out = k + l;
            out += chosen[l];
        }
    }

  private:
    int chosen[lanes<T>];
};

#endif

// Memory a kernel works in: the neighbours of one atom, and a block of triples.

// Memory of one thread; grows, never shrinks. (No std containers that allocate: their code would be shared between
// instruction sets by the linker.)
template <typename T>
struct Buffer {
    T* data = nullptr;
    std::size_t capacity = 0;
    ~Buffer() { std::free(data); }
    T* get(std::size_t n) {
        if (n > capacity) {
            std::free(data);
            capacity = (n + n / 2 + 63) & ~std::size_t(63);
            data = static_cast<T*>(std::aligned_alloc(64, capacity * sizeof(T)));
        }
        return data;
    }
};

constexpr int block_size = 384;

template <typename T>
struct Neighborhood {
    int n = 0;
    T *x, *y, *z, *r, *weight;     // displacement, distance, atomic number; sorted by element
    T *tx, *ty, *tz, *tr;          // jvp: tangents
    T *gx, *gy, *gz, *gr;          // vjp: dE/dD and dE/dr
    std::int32_t *pair, *bucket;   // index in the pair list; first neighbour of each element
};

template <typename T>
struct Block {
    int n = 0, rows = 0;
    T *c, *inv_j, *inv_k, *r_jk, *inv_jk;        // geometry
    T *tc, *tr_j, *tr_k, *tr_jk;                 // tangents
    T *R, *R_j, *R_k, *R_jk, *b, *db, *fc, *dfc; // radial part
    T *p, *dp, *A, *B;                           // angular part
    T *e_c, *e_j, *e_k, *e_jk;                   // derivatives of the energy
    std::int32_t *j, *k, *row_start;
};

// The four sweeps over the neighbours of one atom after the other.
//
// Geometry of a pair of neighbours j, k: with s = D_j . D_k, cos theta = s / (r_j r_k) and
// r_jk^2 = r_j^2 + r_k^2 - 2 s everything is a function of (r_j, r_k, s), so a derivative needs three numbers a
// triple: P = E_rj / r_j, Q = E_rk / r_k, S = E_s, and then dE/dD_j = P D_j + S D_k, dE/dD_k = Q D_k + S D_j.
// Triples are collected in blocks that stay in the first-level cache; all loops over a block are SIMD.

template <typename T>
class Kernel {
  public:
    Kernel(const Plan& plan, const PairList& pairs, const Task& task) : plan(plan), pairs(pairs), task(task) {}

    void run(std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) atom(i);
    }

  private:
    const Plan& plan;
    const PairList& pairs;
    const Task& task;
    Neighborhood<T> hood;
    Block<T> block;
    const ElementPlan* element = nullptr;
    const double* weights = nullptr;  // vjp: dE/dG of this atom
    double* G = nullptr;              // values, jvp
    T* jacobian = nullptr;            // [column][x y z][neighbour]
    Buffer<T> hood_memory, block_memory, factor_memory, jacobian_memory;
    Buffer<std::int32_t> hood_integers, block_integers;

    void atom(std::int64_t i) {
        element = &plan.elements[pairs.types[i]];
        if (task.G) {
            G = task.G + i * plan.width;
            for (int c = 0; c < plan.width; ++c) G[c] = 0.0;
        }
        if (task.dE_dG) weights = task.dE_dG + i * plan.width;
        gather(i);
        if (task.sweep == Sweep::jacobian) {
            jacobian = jacobian_memory.get(std::size_t(element->n_functions) * 3 * hood.n + 64);
            std::memset(jacobian, 0, std::size_t(element->n_functions) * 3 * hood.n * sizeof(T));
        }
        if (hood.n > 0) {
            switch (task.sweep) {
                case Sweep::values: sweep<Sweep::values>(); break;
                case Sweep::vjp: sweep<Sweep::vjp>(); break;
                case Sweep::jvp: sweep<Sweep::jvp>(); break;
                case Sweep::jacobian: sweep<Sweep::jacobian>(); break;
            }
        }
        if (task.sweep == Sweep::vjp) store_vjp(i);
        if (task.sweep == Sweep::jacobian) {
            if (task.blocks_double) store_jacobian(i, static_cast<double*>(task.blocks));
            else store_jacobian(i, static_cast<float*>(task.blocks));
        }
    }

    // Neighbours within the reach of this element's functions, sorted by element, as separate coordinate arrays.
    void gather(std::int64_t i) {
        const std::int64_t first = pairs.first[i], last = pairs.first[i + 1];
        const int capacity = int(last - first) + 16, n_elements = int(plan.elements.size());
        T* memory = hood_memory.get(std::size_t(capacity) * 13);
        T** arrays[] = {&hood.x, &hood.y, &hood.z, &hood.r, &hood.weight, &hood.tx, &hood.ty,
                        &hood.tz, &hood.tr, &hood.gx, &hood.gy, &hood.gz, &hood.gr};
        for (T** array : arrays) *array = memory, memory += capacity;
        hood.pair = hood_integers.get(capacity + n_elements + 2);
        hood.bucket = hood.pair + capacity;
        const double reach = element->radius * element->radius;
        hood.n = 0;
        for (int e = 0; e < n_elements; ++e) {
            hood.bucket[e] = hood.n;
            for (std::int64_t p = first; p < last; ++p) {
                if (pairs.types[pairs.neighbors[p]] != e) continue;
                const double* d = pairs.vectors + 3 * p;
                const double square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                if (square >= reach) continue;
                const int m = hood.n++;
                hood.pair[m] = std::int32_t(p - first);
                hood.x[m] = T(d[0]), hood.y[m] = T(d[1]), hood.z[m] = T(d[2]);
                hood.r[m] = T(std::sqrt(square));
                hood.weight[m] = T(plan.atomic_numbers[e]);
                if (task.dD) {
                    const double* t = task.dD + 3 * p;
                    hood.tx[m] = T(t[0]), hood.ty[m] = T(t[1]), hood.tz[m] = T(t[2]);
                    hood.tr[m] = T((d[0] * t[0] + d[1] * t[1] + d[2] * t[2]) / std::sqrt(square));
                }
            }
        }
        hood.bucket[n_elements] = hood.n;
        if (task.sweep == Sweep::vjp)
            for (int m = 0; m < hood.n; ++m) hood.gx[m] = hood.gy[m] = hood.gz[m] = hood.gr[m] = T(0);
    }

    void range(int neighbor, int& begin, int& end) const {
        begin = neighbor < 0 ? 0 : hood.bucket[neighbor];
        end = neighbor < 0 ? hood.n : hood.bucket[neighbor + 1];
    }

    template <Sweep S>
    void sweep() {
        for (const RadialFunction& function : element->radial) radial<S>(function);
        const auto& groups = element->angular;
        for (std::size_t g = 0; g < groups.size();) {
            std::size_t last = g + 1;
            while (last < groups.size() && groups[last].neighbor1 == groups[g].neighbor1 &&
                   groups[last].neighbor2 == groups[g].neighbor2 && groups[last].narrow == groups[g].narrow &&
                   groups[last].radius == groups[g].radius)
                ++last;
            angular<S>(&groups[g], int(last - g));
            g = last;
        }
    }

    // a(r), da/dr of the neighbours [begin, end), times the atomic number where the function asks for it.
    void factor(const RadialFactor& f, int begin, int end, T* a, T* da, T* scratch) {
        const int n = end - begin;
        radial_factor(f, hood.r + begin, a + begin, da + begin, scratch, scratch + hood.n, n);
        if (f.weighted)
            for (int m = begin; m < end; ++m) a[m] *= hood.weight[m], da[m] *= hood.weight[m];
    }

    template <Sweep S>
    void radial(const RadialFunction& function) {
        int begin, end;
        range(function.neighbor, begin, end);
        if (begin == end) return;
        T* a = factor_memory.get(std::size_t(hood.n) * 4);
        T* da = a + hood.n;
        factor(function.factor, begin, end, a, da, da + hood.n);
        if constexpr (S == Sweep::values) {
            T sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int m = begin; m < end; ++m) sum += a[m];
            G[function.column] = double(sum);
        } else if constexpr (S == Sweep::vjp) {
            const T weight = T(weights[function.column]);
#pragma GCC ivdep
            for (int m = begin; m < end; ++m) hood.gr[m] += weight * da[m];
        } else if constexpr (S == Sweep::jvp) {
            T sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int m = begin; m < end; ++m) sum += da[m] * hood.tr[m];
            G[function.column] = double(sum);
        } else {
            T* row = jacobian + std::size_t(function.column) * 3 * hood.n;
            for (int m = begin; m < end; ++m) {
                const T slope = da[m] / hood.r[m];
                row[m] = slope * hood.x[m];
                row[hood.n + m] = slope * hood.y[m];
                row[2 * hood.n + m] = slope * hood.z[m];
            }
        }
    }

    // All groups with the same neighbour elements, reach and narrowness: collect triples, work through them in blocks.
    template <Sweep S>
    void angular(const AngularGroup* groups, int n_groups) {
        int begin1, end1, begin2, end2;
        range(groups[0].neighbor1, begin1, end1);
        range(groups[0].neighbor2, begin2, end2);
        const bool same = groups[0].neighbor1 == groups[0].neighbor2;
        if (begin1 == end1 || begin2 == end2) return;
        T* factors = factor_memory.get(std::size_t(hood.n) * (2 * n_groups + 2));
        T* scratch = factors + std::size_t(hood.n) * 2 * n_groups;
        for (int g = 0; g < n_groups; ++g) {
            T* a = factors + std::size_t(hood.n) * 2 * g;
            factor(groups[g].factor, begin1, end1, a, a + hood.n, scratch);
            if (!same) factor(groups[g].factor, begin2, end2, a, a + hood.n, scratch);
        }
        prepare_block(end2 - begin2);
        const T reach = T(groups[0].radius), reach_square = reach * reach;
        const bool narrow = groups[0].narrow;
        for (int j = begin1; j < end1; ++j) {
            if (hood.r[j] >= reach) continue;
            collect(j, same ? j + 1 : begin2, end2, reach, narrow ? reach_square : std::numeric_limits<T>::max());
            if (block.n >= block_size) process<S>(groups, n_groups, factors);
        }
        if (block.n > 0) process<S>(groups, n_groups, factors);
    }

    void prepare_block(int longest_row) {
        const int capacity = (block_size + longest_row + 31) & ~15;
        T* memory = block_memory.get(std::size_t(capacity) * 25);
        T** arrays[] = {&block.c, &block.inv_j, &block.inv_k, &block.r_jk, &block.inv_jk, &block.tc, &block.tr_j,
                        &block.tr_k, &block.tr_jk, &block.R, &block.R_j, &block.R_k, &block.R_jk, &block.b,
                        &block.db, &block.fc, &block.dfc, &block.p, &block.dp, &block.A, &block.B,
                        &block.e_c, &block.e_j, &block.e_k, &block.e_jk};
        for (T** array : arrays) *array = memory, memory += capacity;
        block.j = block_integers.get(std::size_t(capacity) * 2 + block_size + 2);
        block.k = block.j + capacity;
        block.row_start = block.k + capacity;
        block.n = block.rows = 0;
    }

    // Append the triples (j, k), begin <= k < end, with r_k and r_jk within reach.
    void collect(int j, int begin, int end, T reach, T reach_square) {
        const T xj = hood.x[j], yj = hood.y[j], zj = hood.z[j];
        const int start = block.n;
        int n = start;
        for (int k = begin; k < end; ++k) {
            const T dx = hood.x[k] - xj, dy = hood.y[k] - yj, dz = hood.z[k] - zj;
            const T square = dx * dx + dy * dy + dz * dz;
            block.r_jk[n] = square;
            block.k[n] = k;
            n += int(hood.r[k] < reach) & int(square < reach_square);
        }
        if (n == start) return;
        for (int t = start; t < n; ++t) block.j[t] = j;
        block.row_start[block.rows++] = start;
        block.n = n;
    }

    template <Sweep S>
    void process(const AngularGroup* groups, int n_groups, const T* factors) {
        constexpr bool derivative = S != Sweep::values;
        const int n = block.n;
        block.row_start[block.rows] = n;
        geometry(groups[0].narrow, S == Sweep::jvp);
        if constexpr (S == Sweep::vjp)
            for (int t = 0; t < n; ++t) block.e_c[t] = block.e_j[t] = block.e_k[t] = block.e_jk[t] = T(0);
        for (int g = 0; g < n_groups; ++g) {
            const T* a = factors + std::size_t(hood.n) * 2 * g;
            radial_part<derivative>(groups[g], a, a + hood.n);
            if constexpr (S == Sweep::vjp) {
                for (int t = 0; t < n; ++t) block.A[t] = block.B[t] = T(0);
            } else if constexpr (S == Sweep::jvp) {
#pragma GCC ivdep
                for (int t = 0; t < n; ++t)
                    block.A[t] = block.R_j[t] * block.tr_j[t] + block.R_k[t] * block.tr_k[t] + block.R_jk[t] * block.tr_jk[t];
            }
            for (const AngularMember& member : groups[g].members) {
                angular_factor<derivative>(member, block.c, block.p, block.dp, n);
                accumulate<S>(member);
            }
            if constexpr (S == Sweep::vjp) {
#pragma GCC ivdep
                for (int t = 0; t < n; ++t) {
                    block.e_c[t] += block.B[t] * block.R[t];
                    block.e_j[t] += block.A[t] * block.R_j[t];
                    block.e_k[t] += block.A[t] * block.R_k[t];
                    block.e_jk[t] += block.A[t] * block.R_jk[t];
                }
            }
        }
        if constexpr (S == Sweep::vjp) scatter(hood.gx, hood.gy, hood.gz);
        block.n = block.rows = 0;
    }

    void geometry(bool narrow, bool tangents) {
        const int n = block.n;
        const T *x = hood.x, *y = hood.y, *z = hood.z, *r = hood.r;
#pragma GCC ivdep
        for (int t = 0; t < n; ++t) {
            const int j = block.j[t], k = block.k[t];
            const T inv_j = T(1) / r[j], inv_k = T(1) / r[k];
            const T c = (x[j] * x[k] + y[j] * y[k] + z[j] * z[k]) * inv_j * inv_k;
            block.inv_j[t] = inv_j;
            block.inv_k[t] = inv_k;
            block.c[t] = minimum(maximum(c, T(-1)), T(1));
            const T r_jk = std::sqrt(block.r_jk[t]);
            block.r_jk[t] = r_jk;
            block.inv_jk[t] = narrow ? T(1) / r_jk : T(0);
        }
        if (!tangents) return;
        for (int t = 0; t < n; ++t) {
            const int j = block.j[t], k = block.k[t];
            const T ds = hood.tx[j] * x[k] + hood.ty[j] * y[k] + hood.tz[j] * z[k] +
                         x[j] * hood.tx[k] + y[j] * hood.ty[k] + z[j] * hood.tz[k];
            const T tr_j = hood.tr[j], tr_k = hood.tr[k];
            block.tr_j[t] = tr_j;
            block.tr_k[t] = tr_k;
            block.tr_jk[t] = (r[j] * tr_j + r[k] * tr_k - ds) * block.inv_jk[t];
            block.tc[t] = ds * block.inv_j[t] * block.inv_k[t] - block.c[t] * (tr_j * block.inv_j[t] + tr_k * block.inv_k[t]);
        }
    }

    // R = a_j a_k b_jk and its derivatives with respect to r_j, r_k, r_jk.
    template <bool DERIVATIVE>
    void radial_part(const AngularGroup& group, const T* a, const T* da) {
        const int n = block.n;
        if (group.narrow) {
            RadialFactor factor = group.factor;
            // In n2p2 the asymmetric functions of type 21 act on r_ij and r_ik alone, those of type 24 on r_jk too.
            if (!factor.weighted) factor.asymmetric = false;
            radial_factor(factor, block.r_jk, block.b, block.db, block.fc, block.dfc, n);
        } else {
            for (int t = 0; t < n; ++t) block.b[t] = T(1), block.db[t] = T(0);
        }
#pragma GCC ivdep
        for (int t = 0; t < n; ++t) {
            const int j = block.j[t], k = block.k[t];
            const T ab = a[j] * block.b[t];
            block.R[t] = ab * a[k];
            if constexpr (DERIVATIVE) {
                block.R_j[t] = da[j] * block.b[t] * a[k];
                block.R_k[t] = ab * da[k];
                block.R_jk[t] = a[j] * a[k] * block.db[t];
            }
        }
    }

    template <Sweep S>
    void accumulate(const AngularMember& member) {
        const int n = block.n;
        if constexpr (S == Sweep::values) {
            T sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int t = 0; t < n; ++t) sum += block.p[t] * block.R[t];
            G[member.column] += double(sum);
        } else if constexpr (S == Sweep::jvp) {
            T sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int t = 0; t < n; ++t) sum += block.dp[t] * block.R[t] * block.tc[t] + block.p[t] * block.A[t];
            G[member.column] += double(sum);
        } else if constexpr (S == Sweep::vjp) {
            const T weight = T(weights[member.column]);
#pragma GCC ivdep
            for (int t = 0; t < n; ++t) {
                block.A[t] += weight * block.p[t];
                block.B[t] += weight * block.dp[t];
            }
        } else {
#pragma GCC ivdep
            for (int t = 0; t < n; ++t) {
                block.e_c[t] = block.dp[t] * block.R[t];
                block.e_j[t] = block.p[t] * block.R_j[t];
                block.e_k[t] = block.p[t] * block.R_k[t];
                block.e_jk[t] = block.p[t] * block.R_jk[t];
            }
            T* row = jacobian + std::size_t(member.column) * 3 * hood.n;
            scatter(row, row + hood.n, row + 2 * hood.n);
        }
    }

    // Add dE/dD of the block's triples to the neighbours; e_j, e_k, e_c become P, Q, S (overwritten).
    void scatter(T* gx, T* gy, T* gz) {
        const int n = block.n;
#pragma GCC ivdep
        for (int t = 0; t < n; ++t) {
            const T jk = block.e_jk[t] * block.inv_jk[t], c = block.c[t], inv_j = block.inv_j[t], inv_k = block.inv_k[t];
            const T e_c = block.e_c[t];
            block.e_j[t] = (block.e_j[t] - e_c * c * inv_j) * inv_j + jk;
            block.e_k[t] = (block.e_k[t] - e_c * c * inv_k) * inv_k + jk;
            block.e_c[t] = e_c * inv_j * inv_k - jk;
        }
        for (int row = 0; row < block.rows; ++row) {
            const int start = block.row_start[row], end = block.row_start[row + 1], j = block.j[start];
            const T xj = hood.x[j], yj = hood.y[j], zj = hood.z[j];
            T p = 0, sx = 0, sy = 0, sz = 0;
            for (int t = start; t < end; ++t) {
                const int k = block.k[t];
                const T q = block.e_k[t], s = block.e_c[t], xk = hood.x[k], yk = hood.y[k], zk = hood.z[k];
                p += block.e_j[t];
                sx += s * xk;
                sy += s * yk;
                sz += s * zk;
                gx[k] += q * xk + s * xj;
                gy[k] += q * yk + s * yj;
                gz[k] += q * zk + s * zj;
            }
            gx[j] += p * xj + sx;
            gy[j] += p * yj + sy;
            gz[j] += p * zj + sz;
        }
    }

    void store_vjp(std::int64_t i) {
        const std::int64_t first = pairs.first[i];
        std::memset(task.dE_dD + 3 * first, 0, sizeof(double) * 3 * std::size_t(pairs.first[i + 1] - first));
        for (int m = 0; m < hood.n; ++m) {
            double* out = task.dE_dD + 3 * (first + hood.pair[m]);
            const T slope = hood.gr[m] / hood.r[m];
            out[0] = double(hood.gx[m] + slope * hood.x[m]);
            out[1] = double(hood.gy[m] + slope * hood.y[m]);
            out[2] = double(hood.gz[m] + slope * hood.z[m]);
        }
    }

    // Block of a pair: (3, n_sensitive), only the functions that can feel the neighbour's element.
    template <typename Out>
    void store_jacobian(std::int64_t i, Out* blocks) {
        const std::int64_t first = pairs.first[i];
        for (std::int64_t p = first; p < pairs.first[i + 1]; ++p)
            for (std::int64_t o = task.block_offsets[p]; o < task.block_offsets[p + 1]; ++o) blocks[o] = Out(0);
        for (std::size_t e = 0; e + 1 <= plan.elements.size(); ++e) {
            const auto& columns = element->sensitive[e];
            const int n_columns = int(columns.size());
            for (int m = hood.bucket[e]; m < hood.bucket[e + 1]; ++m) {
                Out* out = blocks + task.block_offsets[first + hood.pair[m]];
                for (int s = 0; s < n_columns; ++s) {
                    const T* row = jacobian + std::size_t(columns[s]) * 3 * hood.n + m;
                    for (int c = 0; c < 3; ++c) out[c * n_columns + s] = Out(row[std::size_t(c) * hood.n]);
                }
            }
        }
    }
};

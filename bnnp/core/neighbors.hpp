// Puts the pairs that a neighbour search found into the order of the neighbour list.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "threads.hpp"

namespace bnnp {

// What a search found: every pair once, as i-j or j-i.
struct FoundPairs {
    std::int64_t n_atoms = 0, n_found = 0;
    const double* positions = nullptr;     // (n_atoms, 3)
    const double* cell = nullptr;          // (3, 3), rows are lattice vectors
    const std::uint64_t* pairs = nullptr;  // (n_found, 2)
    const std::int32_t* shifts = nullptr;  // (n_found, 3) lattice shift S of D = r_j + S . cell - r_i
};

// The full list, sorted by centre, rank of the neighbour and lattice shift, both directions of every pair with
// |D| < cutoff. `ranks` (n_atoms,) orders the neighbours: a permutation of the atoms.
class SortedPairs {
  public:
    SortedPairs(const FoundPairs& found, const std::int64_t* ranks, double cutoff, int threads)
        : found(found), threads(threads), first(found.n_atoms + 1, 0), displacements(3 * found.n_found), inside(found.n_found) {
        parallel(found.n_found, threads, [&](auto begin, auto end) { measure(cutoff, begin, end); });
        sort(ranks);
    }

    std::int64_t size() const { return first.back(); }

    // first (n_atoms + 1,), centers and neighbors (n_pairs,), vectors (n_pairs, 3)
    void write(std::int64_t* first_out, std::int32_t* centers, std::int32_t* neighbors, double* vectors) const {
        std::copy(first.begin(), first.end(), first_out);
        parallel(found.n_atoms, threads, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t p = first[begin]; p < first[end]; ++p) {
                const double* d = displacements.data() + 3 * (entries[p] / 2);
                const bool backward = entries[p] % 2;
                centers[p] = std::int32_t(center(entries[p]));
                neighbors[p] = std::int32_t(neighbor(entries[p]));
                for (int c = 0; c < 3; ++c) vectors[3 * p + c] = backward ? -d[c] : d[c];
            }
        });
    }

  private:
    const FoundPairs& found;
    int threads;
    std::vector<std::int64_t> first, entries;  // an entry is twice the found pair, and one more for the way j-i
    std::vector<double> displacements;         // (n_found, 3)
    std::vector<char> inside;

    std::int64_t center(std::int64_t entry) const { return std::int64_t(found.pairs[entry]); }
    std::int64_t neighbor(std::int64_t entry) const { return std::int64_t(found.pairs[entry ^ 1]); }

    void measure(double cutoff, std::int64_t begin, std::int64_t end) {
        for (std::int64_t h = begin; h < end; ++h) {
            const double *a = found.positions + 3 * center(2 * h), *b = found.positions + 3 * neighbor(2 * h);
            const std::int32_t* s = found.shifts + 3 * h;
            double* d = displacements.data() + 3 * h;
            for (int c = 0; c < 3; ++c)
                d[c] = (b[c] - a[c]) + (s[0] * found.cell[c] + s[1] * found.cell[3 + c] + s[2] * found.cell[6 + c]);
            inside[h] = d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < cutoff * cutoff;
        }
    }

    // Counting sorts, first by the rank of the neighbour, then by centre; pairs of the same two atoms by shift.
    void sort(const std::int64_t* ranks) {
        std::vector<std::int64_t> place(found.n_atoms + 1, 0);
        for (std::int64_t e = 0; e < 2 * found.n_found; ++e)
            if (inside[e / 2]) ++first[center(e) + 1], ++place[ranks[neighbor(e)] + 1];
        for (std::int64_t i = 0; i < found.n_atoms; ++i) first[i + 1] += first[i], place[i + 1] += place[i];
        std::vector<std::int64_t> by_rank(first.back());
        for (std::int64_t e = 0; e < 2 * found.n_found; ++e)
            if (inside[e / 2]) by_rank[place[ranks[neighbor(e)]]++] = e;
        entries.resize(first.back());
        place.assign(first.begin(), first.end());
        for (const std::int64_t e : by_rank) entries[place[center(e)]++] = e;
        parallel(found.n_atoms, threads, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t p = first[begin], next; p < first[end]; p = next) {
                for (next = p + 1; next < first[end] && same_atoms(entries[next], entries[p]);) ++next;
                if (next > p + 1)
                    std::sort(entries.begin() + p, entries.begin() + next, [&](auto a, auto b) { return shift_less(a, b); });
            }
        });
    }

    bool same_atoms(std::int64_t a, std::int64_t b) const { return center(a) == center(b) && neighbor(a) == neighbor(b); }

    bool shift_less(std::int64_t a, std::int64_t b) const {
        const int sign_a = a % 2 ? -1 : 1, sign_b = b % 2 ? -1 : 1;
        for (int c = 0; c < 3; ++c) {
            const int x = sign_a * found.shifts[3 * (a / 2) + c], y = sign_b * found.shifts[3 * (b / 2) + c];
            if (x != y) return x < y;
        }
        return false;
    }
};

}  // namespace bnnp

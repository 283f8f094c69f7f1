// Neighbor lists: every pair of atoms closer than a cutoff, with periodic images, in O(N) by a grid of bins.
//
// Atoms are moved into the cell and sorted into bins; what is close is looked for in the bins around, a row
// of bins at a time with whole registers (close_points of the kernels), with a search radius a little above
// the cutoff. Which pairs count, and their vectors, come from the positions as they were given, so that i-j
// and j-i are exact negatives.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/kernels.hpp"

namespace bnnp {

struct Atoms {
    std::int64_t n = 0;
    const double* positions = nullptr;  // (n, 3)
    // (n, 3) to search among: the positions, or those with empty space taken out
    const double* points = nullptr;
    const double* cell = nullptr;           // (3, 3), rows are lattice vectors; null for a free molecule
    const std::int64_t* numbers = nullptr;  // (n,) atomic numbers
};

class NeighborSearch {
  public:
    NeighborSearch(const Kernels& kernels, const Atoms& atoms, double cutoff)
        : kernels(kernels), atoms(atoms), cutoff(cutoff), reach_radius(cutoff * (1.0 + SKIN)) {
        measure();
        divide();
        wrap();
        sort_into_bins();
    }

    // Neighbors of some centers, one center after the other, by atomic number, index and lattice shift.
    struct Piece {
        std::vector<std::int64_t> counts;
        std::vector<std::int32_t> neighbors;
        std::vector<double> vectors;
    };

    Piece find(Range centers) const {
        Piece piece;
        Scratch scratch;
        for (std::int64_t i = centers.begin; i < centers.end; ++i) {
            scratch.rows.clear();
            scratch.hits.clear();
            gather(i, scratch);
            sort(scratch);
            append(i, scratch, piece);
        }
        return piece;
    }

  private:
    static constexpr double SKIN = 1.0e-6;

    using Shift = std::array<double, 3>;  // whole numbers of lattice vectors
    struct Hit {  // a neighbor: its place among all atoms, and in the bins; row of bins
        std::uint32_t rank, slot, row;
    };
    struct Scratch {
        std::vector<Shift> rows;
        std::vector<Hit> hits, sorted;
        std::vector<std::int32_t> slots;
    };

    const Kernels& kernels;
    const Atoms& atoms;
    const double cutoff, reach_radius;
    double inverse[9] = {}, heights[3] = {}, origin[3] = {};  // fractional = (r - origin) . inverse
    std::int64_t n_bins[3] = {1, 1, 1}, reach[3] = {0, 0, 0};
    std::vector<Shift> moved;                       // (n,) lattice vectors taken off each atom
    std::vector<std::array<std::int64_t, 3>> bins;  // (n,)
    std::vector<double> x, y, z;                    // of the slots, with a register more at the end
    Points points;                                  // these
    std::vector<std::int32_t> atom_of;              // (n,) of the slots
    std::vector<std::uint32_t> rank_of;             // (n,) of the slots: place by atomic number and index
    std::vector<std::int64_t> first;                // slots of each bin

    static Shift cross(const double* a, const double* b) {
        return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
    }

    // Heights of the cell and its inverse; for a molecule those of the box around it.
    void measure() {
        double box[9] = {};
        if (atoms.cell) {
            std::copy(atoms.cell, atoms.cell + 9, box);
        } else {
            for (int c = 0; c < 3; ++c) {
                double low = 0.0, high = 0.0;
                for (std::int64_t i = 0; i < atoms.n; ++i) {
                    const double r = atoms.points[3 * i + c];
                    low = i ? std::min(low, r) : r, high = i ? std::max(high, r) : r;
                }
                origin[c] = low;
                box[4 * c] = std::max(high - low, reach_radius) * (1.0 + SKIN);
            }
        }
        for (int d = 0; d < 3; ++d) {
            const Shift normal = cross(box + 3 * ((d + 1) % 3), box + 3 * ((d + 2) % 3));
            const double* edge = box + 3 * d;
            const double volume = edge[0] * normal[0] + edge[1] * normal[1] + edge[2] * normal[2];
            for (int c = 0; c < 3; ++c) inverse[3 * c + d] = normal[c] / volume;
            heights[d] = std::abs(volume) / std::hypot(normal[0], normal[1], normal[2]);
        }
    }

    // Bins as wide as the search radius, or half as wide where few of them fit; not many more than atoms.
    void divide() {
        for (int d = 0; d < 3; ++d) {
            const double fit = heights[d] / reach_radius;
            n_bins[d] = std::max<std::int64_t>(1, std::int64_t(std::min(fit >= 3.0 ? fit : 2.0 * fit, 1e6)));
        }
        while (double(n_bins[0]) * n_bins[1] * n_bins[2] > 4.0 * atoms.n + 64.0) {
            std::int64_t& most = *std::max_element(n_bins, n_bins + 3);
            most = (most + 1) / 2;
        }
        for (int d = 0; d < 3; ++d) reach[d] = std::int64_t(std::ceil(reach_radius * n_bins[d] / heights[d]));
    }

    void wrap() {
        moved.resize(atoms.n), bins.resize(atoms.n);
        for (std::int64_t i = 0; i < atoms.n; ++i)
            for (int d = 0; d < 3; ++d) {
                double fraction = 0.0;
                for (int c = 0; c < 3; ++c)
                    fraction += (atoms.points[3 * i + c] - origin[c]) * inverse[3 * c + d];
                moved[i][d] = atoms.cell ? std::floor(fraction) : 0.0;
                const std::int64_t bin = std::int64_t((fraction - moved[i][d]) * n_bins[d]);
                bins[i][d] = std::clamp<std::int64_t>(bin, 0, n_bins[d] - 1);
            }
    }

    std::int64_t bin_number(const std::array<std::int64_t, 3>& bin) const {
        return (bin[0] * n_bins[1] + bin[1]) * n_bins[2] + bin[2];
    }

    // Counting sorts: by atomic number, then by bin.
    void sort_into_bins() {
        const std::int64_t largest = atoms.n ? *std::max_element(atoms.numbers, atoms.numbers + atoms.n) : 0;
        std::vector<std::int64_t> place(largest + 2, 0);
        for (std::int64_t i = 0; i < atoms.n; ++i) ++place[atoms.numbers[i] + 1];
        for (std::int64_t k = 0; k <= largest; ++k) place[k + 1] += place[k];
        std::vector<std::int64_t> by_rank(atoms.n);
        for (std::int64_t i = 0; i < atoms.n; ++i) by_rank[place[atoms.numbers[i]]++] = i;

        first.assign(n_bins[0] * n_bins[1] * n_bins[2] + 1, 0);
        for (const auto& bin : bins) ++first[bin_number(bin) + 1];
        for (std::size_t b = 1; b < first.size(); ++b) first[b] += first[b - 1];
        place.assign(first.begin(), first.end());
        x.assign(atoms.n + row_unit, 0.0), y = z = x;
        points = {x.data(), y.data(), z.data()};
        atom_of.resize(atoms.n), rank_of.resize(atoms.n);
        for (std::int64_t rank = 0; rank < atoms.n; ++rank) {
            const std::int64_t i = by_rank[rank], slot = place[bin_number(bins[i])]++;
            const Shift r = wrapped(i);
            x[slot] = r[0], y[slot] = r[1], z[slot] = r[2];
            atom_of[slot] = std::int32_t(i), rank_of[slot] = std::uint32_t(rank);
        }
    }

    Shift lattice(const Shift& s) const {
        if (!atoms.cell) return {0.0, 0.0, 0.0};
        const double* h = atoms.cell;
        return {s[0] * h[0] + s[1] * h[3] + s[2] * h[6], s[0] * h[1] + s[1] * h[4] + s[2] * h[7],
                s[0] * h[2] + s[1] * h[5] + s[2] * h[8]};
    }

    Shift wrapped(std::int64_t i) const {
        const Shift t = lattice(moved[i]);
        return {atoms.points[3 * i] - t[0], atoms.points[3 * i + 1] - t[1], atoms.points[3 * i + 2] - t[2]};
    }

    // Calls visit(first bin, last bin, shift) for bins within reach of `bin` along d that need the same
    // shift.
    template <typename Visit>
    void along(int d, std::int64_t bin, Visit visit) const {
        const std::int64_t n = n_bins[d], low = bin - reach[d], high = bin + reach[d];
        if (!atoms.cell) return visit(std::max<std::int64_t>(low, 0), std::min(high, n - 1), 0.0);
        const std::int64_t s_first = (low - n + 1) / n,
                           s_last = high / n;  // floors, as low < n and high >= 0
        for (std::int64_t s = s_first; s <= s_last; ++s) {
            const std::int64_t begin = std::max(low, s * n), last = std::min(high, s * n + n - 1);
            if (begin <= last) visit(begin - s * n, last - s * n, double(s));
        }
    }

    void gather(std::int64_t i, Scratch& scratch) const {
        const Shift center = wrapped(i);
        along(0, bins[i][0], [&](std::int64_t x_first, std::int64_t x_last, double sx) {
            for (std::int64_t bx = x_first; bx <= x_last; ++bx)
                along(1, bins[i][1], [&](std::int64_t y_first, std::int64_t y_last, double sy) {
                    for (std::int64_t by = y_first; by <= y_last; ++by)
                        along(2, bins[i][2], [&](std::int64_t z_first, std::int64_t z_last, double sz) {
                            const std::int64_t begin = first[bin_number({bx, by, z_first})];
                            const std::int64_t end = first[bin_number({bx, by, z_last}) + 1];
                            if (begin < end) search(center, {begin, end}, {sx, sy, sz}, scratch);
                        });
                });
        });
    }

    // Some slots, shifted by `shift` lattice vectors.
    void search(const Shift& center, Range some, const Shift& shift, Scratch& scratch) const {
        const std::size_t room = std::size_t(some.end - some.begin) + 2 * row_unit;
        scratch.slots.resize(std::max(scratch.slots.size(), room));
        const Shift t = lattice(shift);
        const Sphere sphere{center[0] - t[0], center[1] - t[1], center[2] - t[2],
                            reach_radius * reach_radius};
        const int found = kernels.close_points(points, some, sphere, scratch.slots.data());
        if (found == 0) return;
        const std::uint32_t row = std::uint32_t(scratch.rows.size());
        scratch.rows.push_back(shift);
        for (int k = 0; k < found; ++k) {
            const std::uint32_t slot = std::uint32_t(scratch.slots[k]);
            scratch.hits.push_back({rank_of[slot], slot, row});
        }
    }

    // By rank, stable: the images of an atom were found by rising shift. A radix sort with digits of a byte.
    void sort(Scratch& scratch) const {
        auto &hits = scratch.hits, &sorted = scratch.sorted;
        sorted.resize(hits.size());
        for (int digit = 0; digit == 0 || std::uint64_t(atoms.n - 1) >> digit > 0; digit += 8) {
            std::uint32_t place[257] = {};
            for (const Hit& hit : hits) ++place[(hit.rank >> digit & 255) + 1];
            for (int k = 0; k < 256; ++k) place[k + 1] += place[k];
            for (const Hit& hit : hits) sorted[place[hit.rank >> digit & 255]++] = hit;
            hits.swap(sorted);
        }
    }

    void append(std::int64_t i, const Scratch& scratch, Piece& piece) const {
        const double* a = atoms.positions + 3 * i;
        std::int64_t count = 0;
        for (const Hit& hit : scratch.hits) {
            const std::int32_t j = atom_of[hit.slot];
            const Shift &row = scratch.rows[hit.row], &from = moved[i], &to = moved[j];
            const Shift s = {row[0] - to[0] + from[0], row[1] - to[1] + from[1], row[2] - to[2] + from[2]};
            const Shift t = lattice(s);
            if (j == i && s[0] == 0.0 && s[1] == 0.0 && s[2] == 0.0) continue;
            const double* b = atoms.positions + 3 * std::int64_t(j);
            const double d[3] = {(b[0] - a[0]) + t[0], (b[1] - a[1]) + t[1], (b[2] - a[2]) + t[2]};
            if (!(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < cutoff * cutoff)) continue;
            piece.neighbors.push_back(j);
            piece.vectors.insert(piece.vectors.end(), d, d + 3);
            ++count;
        }
        piece.counts.push_back(count);
    }
};

}  // namespace bnnp

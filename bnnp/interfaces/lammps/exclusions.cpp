#include "exclusions.hpp"

#include <mpi.h>

#include <algorithm>
#include <vector>

#include "atom.h"
#include "comm.h"
#include "group.h"
#include "lammps.h"
#include "neighbor.h"

namespace LAMMPS_NS {

namespace {

// The union of the sets of all ranks.
template <typename Kind>
std::set<Kind> of_all_ranks(const std::set<Kind>& own, MPI_Comm world, int ranks) {
    std::vector<int> numbers, counts(ranks), starts(ranks + 1, 0);
    for (const auto& [type, mask] : own) numbers.insert(numbers.end(), {type, mask});
    const int count = int(numbers.size());
    MPI_Allgather(&count, 1, MPI_INT, counts.data(), 1, MPI_INT, world);
    for (int rank = 0; rank < ranks; ++rank) starts[rank + 1] = starts[rank] + counts[rank];
    std::vector<int> all(starts[ranks]);
    MPI_Allgatherv(numbers.data(), count, MPI_INT, all.data(), counts.data(), starts.data(), MPI_INT, world);
    std::set<Kind> kinds;
    for (std::size_t n = 0; n < all.size(); n += 2) kinds.emplace(all[n], all[n + 1]);
    return kinds;
}

}  // namespace

void Exclusions::look(const int* map) {
    const Neighbor* neighbor = lmp->neighbor;
    kinds.clear(), gone.clear();
    groups = 0;
    if (neighbor->nex_type == 0 && neighbor->nex_group == 0) return;
    for (int m = 0; m < neighbor->nex_group; ++m)
        for (const int group : {neighbor->ex1_group[m], neighbor->ex2_group[m]})
            groups |= lmp->group->bitmask[group];
    for (int i = 0; i < lmp->atom->nlocal; ++i)
        if (map[lmp->atom->type[i]] >= 0) kinds.insert(kind_of(i));
    kinds = of_all_ranks(kinds, lmp->world, lmp->comm->nprocs);
    for (const Kind& a : kinds)
        if (std::all_of(kinds.begin(), kinds.end(), [&](const Kind& b) { return apart(a, b); }))
            gone.insert(a);
}

bool Exclusions::out(int i) const { return !gone.empty() && gone.count(kind_of(i)) > 0; }

bool Exclusions::holes() const {
    const Neighbor* neighbor = lmp->neighbor;
    if (std::count(neighbor->ex_mol_intra, neighbor->ex_mol_intra + neighbor->nex_mol, 1)) return true;
    for (const Kind& a : kinds)
        for (const Kind& b : kinds)
            for (const Kind& c : kinds)
                if (apart(a, b) && !apart(a, c) && !apart(c, b)) return true;
    return false;
}

Exclusions::Kind Exclusions::kind_of(int i) const {
    return {lmp->atom->type[i], lmp->atom->mask[i] & groups};
}

bool Exclusions::apart(const Kind& a, const Kind& b) const {
    const Neighbor* neighbor = lmp->neighbor;
    const auto both = [&](auto is, const int* first, const int* second) {
        return (is(a, *first) && is(b, *second)) || (is(b, *first) && is(a, *second));
    };
    const auto of_type = [](const Kind& kind, int type) { return kind.first == type; };
    // `all` is group 0. An atom that fix gcmc takes out is, for that time, not even in it.
    const auto in_group = [&](const Kind& kind, int group) {
        return group == 0 || (kind.second & lmp->group->bitmask[group]);
    };
    for (int m = 0; m < neighbor->nex_type; ++m)
        if (both(of_type, neighbor->ex1_type + m, neighbor->ex2_type + m)) return true;
    for (int m = 0; m < neighbor->nex_group; ++m)
        if (both(in_group, neighbor->ex1_group + m, neighbor->ex2_group + m)) return true;
    return false;
}

}  // namespace LAMMPS_NS

// Atoms that `neigh_modify exclude` leaves without a partner: they are not there.
//
// The command takes pairs of atoms out of the neighbor lists, by their types or groups. An atom that is apart
// from all atoms, also from those of its own kind, or from the group `all`, has no energy. So fix gcmc and
// fix widom try what a system would be without an atom. An atom that is merely far from all others has an
// energy.
#pragma once

#include <set>
#include <utility>

namespace LAMMPS_NS {

class LAMMPS;

class Exclusions {
  public:
    explicit Exclusions(LAMMPS* lmp) : lmp(lmp) {}

    // Looks at the atoms of all ranks; those of a type without an element (`map` below 0) do not count.
    void look(const int* map);
    // Whether the own atom i is not there.
    bool out(int i) const;
    // Whether two atoms do not see each other, but a third, or more of their kind, sees both: an environment
    // has holes then.
    bool holes() const;

  private:
    using Kind = std::pair<int, int>;  // type, and those groups of an atom that are excluded from others

    LAMMPS* lmp;
    std::set<Kind> kinds, gone;  // of all ranks
    int groups = 0;              // bits of those that are excluded from others

    Kind kind_of(int i) const;
    bool apart(const Kind& a, const Kind& b) const;
};

}  // namespace LAMMPS_NS

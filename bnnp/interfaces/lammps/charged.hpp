// Energy and its derivatives of a potential with charges, of the atoms of this rank:
// bnnp/potential/charged.py has the equations.
//
// Each sample has charges of its own, so each is one network here, and so is the plain network of centered
// samples. The pair style computes the symmetry functions before, and what follows from dE/dG behind.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "coulomb.hpp"
#include "evaluator.hpp"
#include "potential/potential.hpp"

namespace bnnp {

// Atoms of this rank, in the order of the neighbor list.
struct OwnAtoms {
    std::vector<std::int32_t> elements;
    std::vector<double> values, inputs;  // (n, width) symmetry functions, and as the networks have them
    std::vector<std::int64_t> places;    // among all atoms

    std::int64_t n() const { return std::int64_t(elements.size()); }
    void add(const Evaluator& block, bool functions);  // its centers
};

class Charged {
  public:
    Charged(const PotentialData&, const Evaluator&, MPI_Comm);

    // Fills the results. `samples`: also the energies and charges of centered samples, which are else those
    // of the plain network; `sample_forces`: also the derivatives of each sample. Empty if all went well,
    // else why there are no charges, on all ranks.
    std::string evaluate(const OwnAtoms&, const ChargedAtoms&, double total, bool samples,
                         bool sample_forces);

    // Energies and dE/dD of the centers that were filled into `evaluator`, from `first` on of `own`.
    void evaluate_block(Evaluator& evaluator, const OwnAtoms& own, std::int64_t first, const SampleRows& rows,
                        bool parts) const;

    // Results of this rank's atoms, in units of the potential.
    std::vector<double>
        energies;  // (n, samples) without repulsion; of fixed charges the electrostatic energy alone
    std::vector<double> gradient;  // (n, width) dE/dG of the mean at fixed charges, unscaled functions
    std::vector<double> sample_gradients;  // (samples, n, width)
    std::vector<double> charges;           // (n, samples), e
    std::vector<double> forces;            // (n, 3) of the electrostatic interaction
    std::vector<double> sample_forces;     // (n, 3, samples)
    double virial[6] = {};                 // this rank's share of dE/d(strain), xx yy zz xy xz yz

    static constexpr std::int64_t LARGEST = 4000;  // atoms: a matrix of 64 MB on each rank

  private:
    struct Member {
        NetworkPlan of_charges, short_range;
    };
    // Of one network, at the atoms of this rank: outputs, and derivatives by the scaled functions.
    struct Slopes {
        std::vector<double> of_charges, short_range;  // (n, width)
    };

    struct Step;

    const PotentialData& potential;
    const Electrostatics& electrostatics;
    const Evaluator& evaluator;
    const MPI_Comm world;
    std::vector<Member> members;  // the plain network, if samples are centered, then the samples
    int width;

    Member member_of(int sample) const;
    bool plain_first() const { return potential.centered && potential.samples > 1; }
    double unit() const;
    std::string set_fixed_charges(Step&, double total) const;
    std::string solve_charges(Step&, double total) const;
    void solve(const Step&, Columns& columns, double total) const;
    void share(Columns& columns) const;
    void find_energies(Step&);
    void add_short_range(Step&, std::int64_t t, std::vector<double>& found) const;
    void center(std::vector<double>& values, const std::vector<double>& plain) const;
    void find_forces(Step&);
    std::vector<double> pair_forces(const Step&, std::int64_t t, double weight);
};

}  // namespace bnnp

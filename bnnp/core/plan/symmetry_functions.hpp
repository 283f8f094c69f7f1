// What is to be computed: the symmetry functions of every element, sorted into groups that share work.
//
// A function is a sum over neighbors j of a radial factor a(r_j), or over unordered neighbor pairs j < k of
//
//     p(cos theta_jk) a(r_j) a(r_k) [ b(r_jk) ]            b only in the narrow types 3, 8, 13, 21, 24
//
// with a radial factor a (and b) that holds the Gaussian or compact function, the cutoff function and, for
// weighted functions, the atomic number, and an angular polynomial or bump p. Functions with the same
// neighbor elements, reach and narrowness form a bundle: geometry, cutoff functions and the angular factors
// are computed once for all of them; within it, functions with the same radial factors form a group.
//
// Formulas: J. Behler, J. Chem. Phys. 134, 074106 (2011), eqs. 4-9; M. Gastegger et al., J. Chem. Phys. 148,
// 241709 (2018) (weighted); M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026
// (2021) (compact).
#pragma once

#include <vector>

namespace bnnp {

struct CutoffFunction {
    int type = 1;         // 0-8 as in n2p2 and RuNNer
    double radius = 0.0;  // r_c
    double inner = 0.0;   // r_ci = alpha r_c: the function is 1 below it
};

// What several radial factors share: the cutoff function and, for weighted functions, the atomic number.
struct Envelope {
    CutoffFunction cutoff;
    bool weighted = false;
};

enum class RadialKind { gaussian, cosine, compact };

struct RadialFactor {
    RadialKind kind = RadialKind::gaussian;
    int envelope = 0;                     // index into ElementPlan::envelopes
    double eta = 0.0, r_s = 0.0;          // exp(-eta (r - r_s)^2) or cos(eta r)
    double center = 0.0, half_width = 1;  // compact: C(r; r_l, r_c)
    int core = 0;                         // compact: 1-4 POLY1-4, 5 exponential
    bool asymmetric = false;              // compact: y -> (2 - y) y
};

enum class AngleKind { power, gaussian, compact };

// p(cos theta)
struct Angle {
    AngleKind kind = AngleKind::power;
    double lambda = 1.0, zeta = 1.0;
    int integer_zeta = 0;                   // zeta if it is an integer up to 1024, else 0
    double prefactor = 1.0;                 // 2^(1 - zeta)
    double eta = 0.0, theta_s = 0.0;        // type 8, degrees
    double center = 0.0, half_width = 1.0;  // compact, degrees
    int core = 0;
};

struct RadialFunction {
    int column = 0;
    int neighbor = -1;  // element index, -1 for all
    RadialFactor factor;
};

struct AngularMember {
    int column = 0;  // of this function among those of its central element
    int angle = 0;   // index into AngularBundle::angles
};

// Functions with the same radial factors.
struct AngularGroup {
    RadialFactor factor;
    std::vector<AngularMember> members;
};

// Groups over the same triples of atoms: neighbor elements, reach, and whether r_jk counts.
struct AngularBundle {
    int neighbor1 = -1, neighbor2 = -1;  // element indices, neighbor1 <= neighbor2; -1 for all
    bool narrow = true;
    bool separable = false;  // all members are in Moments, too
    double radius = 0.0;
    bool centered_gaussians = true;  // all groups: exp(-eta r^2) times one envelope
    std::vector<Angle> angles;       // distinct ones
    std::vector<AngularGroup> groups;
};

// prefactor (1 + lambda cos)^zeta a(r_j) a(r_k) with a small integer zeta, as a polynomial in cos.
struct MomentMember {
    int column = 0;
    int factor = 0;              // index into Moments::factors
    std::vector<double> powers;  // coefficients of 1, cos, ... cos^zeta
};

struct MomentPair {
    int neighbor1 = 0, neighbor2 = 0;   // element indices, neighbor1 <= neighbor2
    std::vector<MomentMember> members;  // those with one factor after each other
};

// The functions that need no triples: kernels/moments.inl.
struct Moments {
    int degree = 0;                     // largest zeta
    std::vector<RadialFactor> factors;  // distinct ones
    std::vector<MomentPair> pairs;
    std::vector<double> weights;  // n! a! b! c! of the monomials x^a y^b z^c up to that degree
};

struct ElementPlan {
    int n_functions = 0;
    double radius = 0.0;  // largest r_c
    std::vector<Envelope> envelopes;
    std::vector<RadialFunction> radial;
    std::vector<AngularBundle> bundles;
    Moments moments;
    std::vector<std::vector<int>> sensitive;  // [neighbor element] -> columns that can depend on it
};

struct Plan {
    int width = 0;  // largest number of functions of an element
    std::vector<double> atomic_numbers;
    std::vector<ElementPlan> elements;
};

// One symmetry function as input.nn gives it; neighbors are element indices, -1 where the type sums over all.
struct FunctionSpec {
    int element = 0, column = 0, type = 2, neighbor1 = -1, neighbor2 = -1;
    double eta = 0, r_s = 0, lambda = 0, zeta = 0, r_c = 0, r_l = 0, angle_left = 0, angle_right = 0;
    int core = 0;
    bool asymmetric = false;
};

// Sorts functions into groups. `cutoff_alpha` is r_ci / r_c.
Plan make_plan(const std::vector<double>& atomic_numbers, const std::vector<FunctionSpec>& functions,
               int cutoff_type, double cutoff_alpha);

}  // namespace bnnp

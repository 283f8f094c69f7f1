#include "coulomb.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ewald.hpp"

namespace bnnp {

namespace {

using Vector = std::array<double, 3>;
using Matrix = std::array<Vector, 3>;

constexpr double PI = 3.14159265358979323846;
constexpr double POINT = 1e-12;  // length: the width that stands for 0
constexpr double VACUUM = 4.0;   // of a slab, in units of its longest lateral period
constexpr std::int64_t LARGEST_PANEL = 64;

double dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

Vector cross(const Vector& a, const Vector& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double length(const Vector& a) { return std::sqrt(dot(a, a)); }

Vector position(const std::vector<double>& positions, std::int64_t i) {
    return {positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]};
}

// Vectors b with b_x a_y = 1 for x = y, else 0.
Matrix inverse(const Matrix& cell) {
    Matrix found;
    for (int x = 0; x < 3; ++x) {
        const Vector other = cross(cell[(x + 1) % 3], cell[(x + 2) % 3]);
        const double volume = dot(cell[x], other);
        for (int c = 0; c < 3; ++c) found[x][c] = other[c] / volume;
    }
    return found;
}

}  // namespace

Coulomb::Coulomb(const Kernels& kernels, MPI_Comm world, const Electrostatics& of, const ChargedAtoms& atoms)
    : kernels(kernels),
      world(world),
      n(atoms.n()),
      padded_n(padded(int(atoms.n()))),
      positions(atoms.positions) {
    MPI_Comm_rank(world, &me);
    MPI_Comm_size(world, &ranks);
    const std::int64_t share = (n + 4 * ranks - 1) / (4 * ranks);  // four panels for each, if they are few
    height = std::min<std::int64_t>(LARGEST_PANEL, padded(int(share)));
    for (const int element : atoms.elements) widths.push_back(std::max(of.widths[element], POINT));
    task.inner = of.inner, task.outer = of.outer, task.core = of.core;
    task.cutoff = std::numeric_limits<double>::infinity();
    for (auto& axis : images) axis.assign(1, 0.0);
    if (atoms.axes() > 0) set_cell(of, atoms);
    task.n_images = std::int64_t(images[0].size());
    for (auto& axis : images) axis.resize(axis.size() + row_unit, 0.0);  // the kernel reads a register more
    task.images = {images[0].data(), images[1].data(), images[2].data()};
    for (std::int64_t p = me; p < n_panels(); p += ranks) {
        own.push_back(empty(p));
        fill(own.back());
    }
}

// The cell of the Ewald sum, atoms wrapped into it, images and waves.
void Coulomb::set_cell(const Electrostatics& of, const ChargedAtoms& atoms) {
    Matrix cell = atoms.cell;
    if (atoms.axes() == 2) {
        const int axis =
            int(std::find(atoms.periodic.begin(), atoms.periodic.end(), false) - atoms.periodic.begin());
        const Vector &first = cell[axis == 0 ? 1 : 0], &second = cell[axis == 2 ? 1 : 2];
        normal = cross(first, second);
        const double area = length(normal);
        for (double& c : normal) c /= area;
        for (std::int64_t i = 0; i < n; ++i) heights.push_back(dot(position(positions, i), normal));
        const auto [low, high] = std::minmax_element(heights.begin(), heights.end());
        const double period = std::max(length(first), length(second));
        const double vacuum = *high - *low + VACUUM * period;
        for (int c = 0; c < 3; ++c) cell[axis][c] = normal[c] * vacuum;
    }
    const Matrix reciprocal = inverse(cell);
    volume = std::abs(dot(cell[0], cross(cell[1], cell[2])));
    const double widest = *std::max_element(widths.begin(), widths.end());
    const Ewald sum = choose_ewald(of.ewald, volume, double(n), widest, of.four_pi_epsilon);
    eta = sum.eta, task.cutoff = sum.r_cut;
    spreads.assign(n, eta / std::sqrt(2.0));  // eta^2 is the sum of two squares
    task.spreads = spreads.data();

    Vector low, high;
    low.fill(std::numeric_limits<double>::infinity()), high.fill(-low[0]);
    for (std::int64_t i = 0; i < n; ++i) {
        const Vector from = position(positions, i);
        Vector wrapped{};
        for (int x = 0; x < 3; ++x) {
            double fraction = dot(from, reciprocal[x]);
            if (atoms.periodic[x]) fraction -= std::floor(fraction);
            low[x] = std::min(low[x], fraction), high[x] = std::max(high[x], fraction);
            for (int c = 0; c < 3; ++c) wrapped[c] += fraction * cell[x][c];
        }
        std::copy(wrapped.begin(), wrapped.end(), &positions[3 * i]);
    }
    if (!heights.empty()) {
        double mean = 0.0;
        for (std::int64_t i = 0; i < n; ++i)
            heights[i] = dot(position(positions, i), normal), mean += heights[i];
        for (double& height : heights) height -= mean / double(n);
    }
    const double reach = std::max(sum.r_cut, of.outer);
    std::array<int, 3> most, waves;
    for (int x = 0; x < 3; ++x) {
        most[x] = int(std::floor(reach * length(reciprocal[x]) + high[x] - low[x]));
        waves[x] = sum.k_max ? sum.k_max : int(std::floor(sum.k_cut * length(cell[x]) / (2.0 * PI)));
    }
    for (int a = -most[0]; a <= most[0]; ++a)
        for (int b = -most[1]; b <= most[1]; ++b)
            for (int c = -most[2]; c <= most[2]; ++c) {
                if (a == 0 && b == 0 && c == 0) continue;  // it is there, in front
                for (int x = 0; x < 3; ++x)
                    images[x].push_back(a * cell[0][x] + b * cell[1][x] + c * cell[2][x]);
            }
    set_waves(reciprocal, sum, waves);
}

// One of k and -k within the limits.
void Coulomb::set_waves(const Matrix& reciprocal, const Ewald& sum, const std::array<int, 3>& most) {
    for (int a = 0; a <= most[0]; ++a)
        for (int b = a ? -most[1] : 0; b <= most[1]; ++b)
            for (int c = a || b ? -most[2] : 1; c <= most[2]; ++c) {
                Vector k;
                for (int x = 0; x < 3; ++x)
                    k[x] = 2.0 * PI * (a * reciprocal[0][x] + b * reciprocal[1][x] + c * reciprocal[2][x]);
                if (dot(k, k) < sum.k_cut * sum.k_cut) vectors.push_back(k);
            }
    waves.assign(2 * vectors.size() * padded_n, 0.0);
    for (std::size_t w = 0; w < vectors.size(); ++w) {
        const double square = dot(vectors[w], vectors[w]);
        const double root = std::sqrt(8.0 * PI / volume * std::exp(-0.5 * eta * eta * square) / square);
        double *cosines = &waves[2 * w * padded_n], *sines = cosines + padded_n;
        for (std::int64_t i = 0; i < n; ++i) {
            const double phase = dot(vectors[w], position(positions, i));
            cosines[i] = root * std::cos(phase), sines[i] = root * std::sin(phase);
        }
    }
}

Coulomb::Panel Coulomb::empty(std::int64_t number) const {
    Panel panel;
    panel.begin = number * height, panel.end = std::min(n, panel.begin + height);
    panel.stride = padded_n - panel.begin;
    panel.A.assign((panel.end - panel.begin) * panel.stride, 0.0);
    return panel;
}

// The pairs of atom i with itself and those behind it: for the kernel the first row of a smaller system.
ChargeTask Coulomb::row_task(std::int64_t i) const {
    ChargeTask row = task;
    row.n_atoms = row.step = n - i;
    row.positions = &positions[3 * i], row.widths = &widths[i];
    return row;
}

void Coulomb::fill(Panel& panel) {
    std::vector<double> B(panel.A.size(), 0.0);
    for (std::int64_t i = panel.begin; i < panel.end; ++i) {
        ChargeTask row = row_task(i);
        const std::int64_t shift = i - panel.begin;
        row.A = panel.row(panel.A, i) + shift, row.B = panel.row(B, i) + shift;
        kernels.charges(row);
        const double self = widths[i] > POINT ? 1.0 / (widths[i] * std::sqrt(PI)) : 0.0;
        row.A[0] += self, row.B[0] -= self;
        if (eta == 0.0) continue;
        row.A[0] -= std::sqrt(2.0 / PI) / eta;
        for (std::int64_t j = i; j < n; ++j) {
            row.A[j - i] -= 2.0 * PI * eta * eta / volume;
            if (heights.empty()) continue;
            const double apart = heights[i] - heights[j];
            row.A[j - i] -= 2.0 * PI / volume * apart * apart;
        }
    }
    ProductTask product;
    product.factors = waves.data(), product.terms = 2 * std::int64_t(vectors.size()), product.row = padded_n;
    product.rows = {panel.begin, panel.end}, product.columns = {panel.begin, padded_n};
    product.sums = panel.A.data(), product.stride = panel.stride;
    kernels.products(product);
    panel.sum = panel.A;
    for (std::size_t k = 0; k < B.size(); ++k) panel.sum[k] += B[k];
}

// ---- charges in equilibrium -------------------------------------------------------------------------------

std::int64_t Coulomb::factorize(const std::vector<double>& J) {
    double shift = 0.0;
    for (const Panel& panel : own)
        for (std::int64_t i = panel.begin; i < panel.end; ++i)
            shift = std::max(shift, std::abs(panel.row(panel.A, i)[i - panel.begin] + J[i]));
    MPI_Allreduce(MPI_IN_PLACE, &shift, 1, MPI_DOUBLE, MPI_MAX, world);
    factor.clear();
    for (std::int64_t p = 0; p < n_panels(); ++p) {
        factor.push_back(empty(p));
        if (owner(p) != me) continue;
        Panel& panel = factor.back();
        panel.A = own[p / ranks].A;
        for (std::int64_t i = panel.begin; i < panel.end; ++i) {
            for (std::int64_t j = i; j < n; ++j) panel.row(panel.A, i)[j - panel.begin] += shift;
            panel.row(panel.A, i)[i - panel.begin] += J[i];
        }
    }
    for (std::int64_t p = 0; p < n_panels(); ++p) {
        Panel& panel = factor[p];
        if (owner(p) == me) reduce(panel);
        MPI_Bcast(panel.A.data(), int(panel.A.size()), MPI_DOUBLE, owner(p), world);
        for (std::int64_t i = panel.begin; i < panel.end; ++i)
            if (!(panel.row(panel.A, i)[i - panel.begin] > 0.0)) return i;
        for (std::int64_t q = p + 1; q < n_panels(); ++q) {
            if (owner(q) != me) continue;
            ProductTask product;
            product.factors = panel.A.data(), product.terms = panel.end - panel.begin,
            product.row = panel.stride;
            product.rows = {factor[q].begin - panel.begin, factor[q].end - panel.begin};
            product.columns = {factor[q].begin - panel.begin, panel.stride};
            product.sign = -1.0, product.sums = factor[q].A.data(), product.stride = factor[q].stride;
            kernels.products(product);
        }
    }
    response.assign(n, 1.0);
    substitute(response.data());
    return -1;
}

// From A + J, less the products of the panels above, to R; false, and a 0 on the diagonal, where that is not
// positive definite.
bool Coulomb::reduce(Panel& panel) const {
    for (std::int64_t i = panel.begin; i < panel.end; ++i) {
        const std::int64_t d = i - panel.begin;
        double* row = panel.row(panel.A, i);
        for (std::int64_t k = panel.begin; k < i; ++k) {
            const double* above = panel.row(panel.A, k);
            const double part = above[d];
            for (std::int64_t j = d; j < panel.stride; ++j) row[j] -= part * above[j];
        }
        if (!(row[d] > 0.0)) {
            row[d] = 0.0;
            return false;
        }
        const double root = 1.0 / std::sqrt(row[d]);
        for (std::int64_t j = d; j < panel.stride; ++j) row[j] *= root;
    }
    return true;
}

// In place the solution of R^T R x = x.
void Coulomb::substitute(double* x) const {
    for (const Panel& panel : factor)
        for (std::int64_t i = panel.begin; i < panel.end; ++i) {
            const double* row = panel.row(panel.A, i) - panel.begin;
            x[i] /= row[i];
            for (std::int64_t j = i + 1; j < n; ++j) x[j] -= row[j] * x[i];
        }
    for (auto panel = factor.rbegin(); panel != factor.rend(); ++panel)
        for (std::int64_t i = panel->end - 1; i >= panel->begin; --i) {
            const double* row = panel->row(panel->A, i) - panel->begin;
            double sum = x[i];
            for (std::int64_t j = i + 1; j < n; ++j) sum -= row[j] * x[j];
            x[i] = sum / row[i];
        }
}

void Coulomb::solve(Columns& x, double total) const {
    const std::int64_t columns = std::int64_t(x.size()) / n;
    double all = 0.0;
    for (const double r : response) all += r;
    std::vector<int> counts, starts;
    for (int rank = 0; rank < ranks; ++rank) {
        const std::int64_t begin = columns * rank / ranks, end = columns * (rank + 1) / ranks;
        starts.push_back(int(begin * n)), counts.push_back(int((end - begin) * n));
    }
    for (std::int64_t at = starts[me]; at < starts[me] + counts[me]; at += n) {
        substitute(&x[at]);
        double sum = 0.0;
        for (std::int64_t i = 0; i < n; ++i) sum += x[at + i];
        for (std::int64_t i = 0; i < n; ++i) x[at + i] += response[i] * (total - sum) / all;
    }
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x.data(), counts.data(), starts.data(), MPI_DOUBLE,
                   world);
}

// ---- energy and its derivatives ---------------------------------------------------------------------------

Columns Coulomb::potentials(const Columns& x) const {
    Columns found(x.size(), 0.0);
    for (const Panel& panel : own)
        for (std::int64_t i = panel.begin; i < panel.end; ++i) {
            const double* row = panel.row(panel.sum, i) - panel.begin;
            for (std::size_t at = 0; at < x.size(); at += n) {
                const double *from = &x[at], own_x = from[i];
                double* to = &found[at];
                double sum = row[i] * own_x;
                for (std::int64_t j = i + 1; j < n; ++j) sum += row[j] * from[j], to[j] += row[j] * own_x;
                to[i] += sum;
            }
        }
    MPI_Allreduce(MPI_IN_PLACE, found.data(), int(found.size()), MPI_DOUBLE, MPI_SUM, world);
    return found;
}

void Coulomb::add_derivatives(const double* left, const double* right, double scale, double* forces,
                              double* virial) const {
    std::vector<double> F(3 * n, 0.0);
    double W[6] = {};
    for (const Panel& panel : own)
        for (std::int64_t i = panel.begin; i < panel.end; ++i) {
            ChargeTask row = row_task(i);
            row.left = left + i, row.right = right + i, row.forces = &F[3 * i], row.virial = W;
            kernels.charges(row);
        }
    for (std::int64_t k = 0; k < 3 * n; ++k) forces[k] += scale * F[k];
    for (int v = 0; v < 6; ++v) virial[v] += scale * W[v];
    if (eta > 0.0) add_wave_derivatives(left, right, scale, forces, virial);
}

void Coulomb::add_wave_derivatives(const double* left, const double* right, double scale, double* forces,
                                   double* virial) const {
    static const int first[6] = {0, 1, 2, 0, 0, 1}, second[6] = {0, 1, 2, 1, 2, 2};
    const auto add = [&](double weight, const Vector& a) {  // weight a (x) a
        for (int v = 0; v < 6; ++v) virial[v] += scale * weight * a[first[v]] * a[second[v]];
    };
    double isotropic = 0.0;
    for (std::size_t w = me; w < vectors.size(); w += ranks) {
        const double *cosines = &waves[2 * w * padded_n], *sines = cosines + padded_n;
        double cos_l = 0.0, sin_l = 0.0, cos_r = 0.0, sin_r = 0.0;
        for (std::int64_t i = 0; i < n; ++i) {
            cos_l += left[i] * cosines[i], sin_l += left[i] * sines[i];
            cos_r += right[i] * cosines[i], sin_r += right[i] * sines[i];
        }
        const Vector& k = vectors[w];
        for (std::int64_t i = 0; i < n; ++i) {
            const double along = 0.5 * ((left[i] * sin_r + right[i] * sin_l) * cosines[i] -
                                        (left[i] * cos_r + right[i] * cos_l) * sines[i]);
            for (int c = 0; c < 3; ++c) forces[3 * i + c] -= scale * along * k[c];
        }
        const double energy = 0.5 * (cos_l * cos_r + sin_l * sin_r);
        add(energy * (2.0 / dot(k, k) + eta * eta), k);
        isotropic -= energy;
    }
    if (me == 0) {  // background and dipole correction
        double l = 0.0, r = 0.0, lz = 0.0, rz = 0.0, lzz = 0.0, rzz = 0.0;
        for (std::int64_t i = 0; i < n; ++i) {
            const double z = heights.empty() ? 0.0 : heights[i];
            l += left[i], r += right[i], lz += left[i] * z, rz += right[i] * z;
            lzz += left[i] * z * z, rzz += right[i] * z * z;
        }
        isotropic += PI * eta * eta / volume * l * r;
        if (!heights.empty()) {
            const double factor = PI / volume, spread = lzz * r - 2.0 * lz * rz + l * rzz;
            for (std::int64_t i = 0; i < n; ++i) {
                const double z = heights[i], pull = left[i] * (z * r - rz) + right[i] * (z * l - lz);
                for (int c = 0; c < 3; ++c) forces[3 * i + c] += scale * 2.0 * factor * pull * normal[c];
            }
            isotropic += factor * spread;
            add(-2.0 * factor * spread, normal);
        }
    }
    for (int v = 0; v < 3; ++v) virial[v] += scale * isotropic;
}

}  // namespace bnnp

#include "potential/training_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bnnp {

namespace {

constexpr double SMALLEST = 1e-4;  // eigenvalue of the correlations, in units of their mean
constexpr double SMALLEST_FEATURE = 1e-6;
constexpr double ROUNDING = 1e-10, NEGLIGIBLE = 1e-12;  // spread of a function without information
constexpr double UNUSUAL = 0.01;  // change of it that is something new, in units of the median range
constexpr int SWEEPS = 50;        // far more than any matrix needs

using Matrix = std::vector<double>;  // (n, n)

// Eigenvalues of a symmetric matrix; its rows of `vectors` are their vectors. The cyclic method of Jacobi: G.
// H. Golub, C. F. Van Loan, Matrix Computations (2013), section 8.5.
std::vector<double> eigen(Matrix a, int n, Matrix& vectors) {
    vectors.assign(a.size(), 0.0);
    for (int k = 0; k < n; ++k) vectors[k * n + k] = 1.0;
    const auto rotate = [n](double& x, double& y, double c, double s) {
        const double old = x;
        x = c * x - s * y, y = s * old + c * y;
    };
    double largest = 0.0;
    for (const double value : a) largest = std::max(largest, std::abs(value));
    const double negligible = 0.1 * std::numeric_limits<double>::epsilon() * largest;
    bool rotated = true;
    for (int sweep = 0; sweep < SWEEPS && rotated; ++sweep) {
        rotated = false;
        for (int p = 0; p < n; ++p)
            for (int q = p + 1; q < n; ++q) {
                const double off = a[p * n + q];
                if (std::abs(off) <= negligible) continue;
                rotated = true;
                const double tau = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
                const double t = std::copysign(1.0, tau) / (std::abs(tau) + std::hypot(1.0, tau));
                const double c = 1.0 / std::hypot(1.0, t), s = t * c;
                for (int k = 0; k < n; ++k) rotate(a[k * n + p], a[k * n + q], c, s);
                for (int k = 0; k < n; ++k) rotate(a[p * n + k], a[q * n + k], c, s);
                a[p * n + q] = a[q * n + p] = 0.0;
                for (int k = 0; k < n; ++k) rotate(vectors[p * n + k], vectors[q * n + k], c, s);
            }
    }
    std::vector<double> values(n);
    for (int k = 0; k < n; ++k) values[k] = a[k * n + k];
    return values;
}

// Rows u_k with sum u_k u_k^T the inverse; eigenvalues below `smallest` times their mean are raised to it.
Matrix inverse_root(const Matrix& matrix, int n, double smallest) {
    Matrix rows;
    const std::vector<double> values = eigen(matrix, n, rows);
    double mean = 0.0;
    for (const double value : values) mean += value / n;
    const double floor = smallest * std::max(mean, std::numeric_limits<double>::min());
    for (int k = 0; k < n; ++k)
        for (int c = 0; c < n; ++c) rows[k * n + c] /= std::sqrt(std::max(values[k], floor));
    return rows;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t n = values.size();
    return n ? 0.5 * (values[(n - 1) / 2] + values[n / 2]) : 1.0;
}

}  // namespace

std::vector<double> TrainingStatistics::directions() const {
    return inverse_root(feature_covariance, int(feature_mean.size()), SMALLEST_FEATURE);
}

Distance::Distance(const TrainingStatistics& statistics, const Ranges& ranges)
    : minimum(ranges.minimum), maximum(ranges.maximum), shortest(statistics.shortest) {
    knows_neighbors = std::any_of(shortest.begin(), shortest.end(), [](double r) { return r > 0.0; });
    const int n = int(minimum.size());
    std::vector<double> spreads;
    constant.resize(n);
    for (int f = 0; f < n; ++f) {
        const double spread = maximum[f] - minimum[f];
        const double size = std::max(std::abs(minimum[f]), std::abs(maximum[f]));
        constant[f] = spread <= std::max({ROUNDING * size, NEGLIGIBLE});
        if (!constant[f]) spreads.push_back(spread);
        if (statistics.covariance[f * n + f] > 0.0 && !constant[f]) vary.push_back(f);
    }
    const double usual = median(spreads);
    for (int f = 0; f < n; ++f) unit.push_back(constant[f] ? UNUSUAL * usual : maximum[f] - minimum[f]);
    for (const int f : vary) mean.push_back(statistics.mean[f]);
    whitening = whitening_of(statistics.covariance);
    structure_whitening = whitening_of(statistics.structure_covariance);
}

// Inverse root of the (n, n) covariance of the functions that vary.
Matrix Distance::whitening_of(const Matrix& covariance) const {
    const int n = int(minimum.size()), m = int(vary.size());
    std::vector<double> sigma;
    for (const int f : vary) sigma.push_back(std::sqrt(covariance[f * n + f]));
    Matrix correlations;
    for (int k = 0; k < m; ++k)
        for (int c = 0; c < m; ++c)
            correlations.push_back(covariance[vary[k] * n + vary[c]] / (sigma[k] * sigma[c]));
    Matrix found = inverse_root(correlations, m, SMALLEST);
    for (int k = 0; k < m; ++k)
        for (int c = 0; c < m; ++c) found[k * m + c] /= sigma[c];
    return found;
}

double Distance::excess(int f, const double* G) const {
    return std::max({minimum[f] - G[f], G[f] - maximum[f], 0.0}) / unit[f];
}

bool Distance::unseen(const double* G) const {
    for (int f = 0; f < int(minimum.size()); ++f)
        if (constant[f] && excess(f, G) > 1.0) return true;
    return false;
}

double Distance::square(const double* G) const {
    double total = 0.0;
    for (int f = 0; f < int(minimum.size()); ++f)
        if (!constant[f]) total += excess(f, G) * excess(f, G);
    return total + whitened(whitening, G);
}

double Distance::structure_square(const double* mean_G) const {
    return whitened(structure_whitening, mean_G);
}

double Distance::whitened(const Matrix& rows, const double* G) const {
    const std::size_t m = vary.size();
    double total = 0.0;
    for (std::size_t k = 0; k < m; ++k) {
        double row = 0.0;
        for (std::size_t c = 0; c < m; ++c) row += rows[k * m + c] * (G[vary[c]] - mean[c]);
        total += row * row;
    }
    return m ? total / m : 0.0;
}

double Distance::closeness(int element, double square) const {
    const double limit = shortest[element] * shortest[element];
    return square < limit ? std::pow(limit / square, 3) - 1.0 : 0.0;
}

}  // namespace bnnp

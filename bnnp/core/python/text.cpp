// Numbers of large files: rows of text to arrays, and arrays to `atom` lines of input.data.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "python/bindings.hpp"

namespace bnnp {
namespace {

constexpr double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                             1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr std::int64_t EXACT = std::int64_t(1) << 53;  // all integers below are float64 numbers
constexpr int DIGITS = 18;                             // that fit 64 bits

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// One word as Python's float() reads it; ValueError (a Python error) if it is no number.
double slow_number(const char* begin, const char* end) {
    const std::string word(begin, end);
    if (word.find('\0') != std::string::npos) throw py::value_error("a word has a zero byte");
    const double value = PyOS_string_to_double(word.c_str(), nullptr, nullptr);
    if (value == -1.0 && PyErr_Occurred()) throw py::error_already_set();
    return value;
}

// One word, correctly rounded: an integer below 2^53 times or divided by a power of ten up to 10^22, each a
// float64 number, is rounded once (W. D. Clinger, PLDI 1990, 92). All other words go the slow way.
double number(const char* begin, const char* end) {
    const char* at = begin;
    const bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) ++at;
    std::int64_t mantissa = 0;
    int digits = 0, power = 0;
    for (; at < end && is_digit(*at) && digits < DIGITS; ++at, ++digits)
        mantissa = 10 * mantissa + (*at - '0');
    if (at < end && *at == '.') {
        const char* point = at;
        for (++at; at < end && is_digit(*at) && digits < DIGITS; ++at, ++digits)
            mantissa = 10 * mantissa + (*at - '0');
        power = -int(at - point - 1);
    }
    if (digits > 0 && end - at > 1 && end - at < 6 && (*at == 'e' || *at == 'E')) {
        ++at;
        const bool down = *at == '-';
        if (*at == '-' || *at == '+') ++at;
        int exponent = 0;
        const char* first = at;
        for (; at < end && is_digit(*at); ++at) exponent = 10 * exponent + (*at - '0');
        if (at == first) return slow_number(begin, end);
        power += down ? -exponent : exponent;
    }
    if (at < end || digits == 0 || mantissa >= EXACT || std::abs(power) > 22) return slow_number(begin, end);
    const double value = power < 0 ? double(mantissa) / POWERS[-power] : double(mantissa) * POWERS[power];
    return negative ? -value : value;
}

[[noreturn]] void refuse(std::size_t row, const std::string& what) {
    throw py::value_error("row " + std::to_string(row + 1) + " " + what);
}

// Rows `start` numbers `stop`, one a line; lines of blanks are passed over.
Doubles parse_rows(const py::bytes& bytes, int columns, const std::string& start, const std::string& stop) {
    const std::string_view text(bytes);
    std::vector<double> values;
    values.reserve(text.size() / 16 + 1);
    const char *at = text.data(), *end = at + text.size();
    while (at < end) {
        const char* newline = static_cast<const char*>(std::memchr(at, '\n', std::size_t(end - at)));
        const char* next = newline == nullptr ? end : newline + 1;
        const char* last = newline == nullptr ? end : newline;
        while (at < last && is_blank(*at)) ++at;
        while (last > at && is_blank(last[-1])) --last;
        if (at == last) {
            at = next;
            continue;
        }
        const std::size_t row = values.size() / std::size_t(columns);
        if (std::size_t(last - at) < start.size() + stop.size() ||
            start.compare(0, start.size(), at, start.size()) ||
            stop.compare(0, stop.size(), last - stop.size(), stop.size()))
            refuse(row, "is not `" + start + " ... " + stop + "`");
        at += start.size();
        last -= stop.size();
        int found = 0;
        while (true) {
            while (at < last && is_blank(*at)) ++at;
            if (at == last) break;
            const char* word = at;
            while (at < last && !is_blank(*at)) ++at;
            if (++found > columns) break;
            values.push_back(number(word, at));
        }
        if (found != columns) refuse(row, "has not " + std::to_string(columns) + " numbers");
        at = next;
    }
    Doubles rows({py::ssize_t(values.size()) / columns, py::ssize_t(columns)});
    std::memcpy(rows.mutable_data(), values.data(), values.size() * sizeof(double));
    return rows;
}

// ` %{width}.{decimals}f`. Numbers too large to be an integer of the last decimal go through printf.
void append(std::string& text, double value, int width, int decimals) {
    const double scaled = std::nearbyint(std::abs(value) * POWERS[decimals]);
    char buffer[400];
    if (!(scaled < double(EXACT))) {
        text.append(buffer,
                    std::size_t(std::snprintf(buffer, sizeof buffer, " %*.*f", width, decimals, value)));
        return;
    }
    char *const end = buffer + 64, *at = end;
    auto rest = std::uint64_t(scaled);
    for (int place = 0; place < decimals; ++place, rest /= 10) *--at = char('0' + rest % 10);
    *--at = '.';
    do *--at = char('0' + rest % 10);
    while (rest /= 10);
    if (std::signbit(value)) *--at = '-';
    while (end - at < width) *--at = ' ';
    *--at = ' ';
    text.append(at, std::size_t(end - at));
}

// The `atom` lines of a structure, without charges and energies of atoms; the last one has no end of line.
std::string format_atoms(const std::vector<std::string>& symbols, const Doubles& positions,
                         const Doubles& forces, int decimals) {
    const auto n_atoms = std::int64_t(symbols.size());
    require(has_shape(positions, n_atoms, 3), "positions must be (n_atoms, 3)");
    require(has_shape(forces, n_atoms, 3), "forces must be (n_atoms, 3)");
    require(decimals > 0 && decimals <= 15, "decimals must be 1 to 15");
    const int width = decimals + 6;
    std::string text;
    text.reserve(std::size_t(n_atoms) * std::size_t(6 * (width + 1) + 16));
    const double *position = positions.data(), *force = forces.data();
    for (std::int64_t atom = 0; atom < n_atoms; ++atom) {
        text += atom == 0 ? "atom" : "\natom";
        for (int k = 0; k < 3; ++k) append(text, *position++, width, decimals);
        const std::string& symbol = symbols[std::size_t(atom)];
        text += ' ' + symbol + (symbol.size() < 2 ? "  " : " ") + "0.0 0.0";
        for (int k = 0; k < 3; ++k) append(text, *force++, width, decimals);
    }
    return text;
}

}  // namespace

void bind_text(py::module_& module) {
    module.def("parse_rows", &parse_rows, py::arg("text"), py::arg("columns"), py::arg("start") = "",
               py::arg("stop") = "");
    module.def("format_atoms", &format_atoms, py::arg("symbols"), py::arg("positions"), py::arg("forces"),
               py::arg("decimals"));
}

}  // namespace bnnp

// Numbers of large files: rows of text to arrays, and arrays to `atom` lines of input.data.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "python/bindings.hpp"

namespace bnnp {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// Two bytes as an index below 4096, not the same for all others.
std::size_t pair_at(const char* at) {
    std::uint16_t pair;
    std::memcpy(&pair, at, sizeof pair);
    return (std::uint32_t(pair) * 2654435769u) >> 20;
}

// One word as Python's float() reads it; ValueError (a Python error) if it is no number.
double slow_number(const char* begin, const char* end) {
    const std::string word(begin, end);
    if (word.find('\0') != std::string::npos) throw py::value_error("a word has a zero byte");
    const double value = PyOS_string_to_double(word.c_str(), nullptr, nullptr);
    if (value == -1.0 && PyErr_Occurred()) throw py::error_already_set();
    return value;
}

// One word, correctly rounded.
double number(const char* begin, const char* end) {
    double value = 0.0;
    const char* first = begin + (*begin == '+');
    const auto found = std::from_chars(first, end, value);
    return found.ec == std::errc() && found.ptr == end ? value : slow_number(begin, end);
}

// Digits behind the point of a word; -1 if it is not digits, a point and digits.
std::ptrdiff_t decimals_of(const char* begin, const char* end) {
    const char* point = end;
    while (point > begin && point[-1] >= '0' && point[-1] <= '9') --point;
    return point > begin && point[-1] == '.' ? end - point : -1;
}

[[noreturn]] void refuse(std::size_t row, const std::string& what) {
    throw py::value_error("row " + std::to_string(row + 1) + " " + what);
}

// Rows `start` numbers `stop`, one a line; lines of blanks are passed over. If they are `aligned`, all have
// the same number of digits behind the point.
Doubles parse_rows(const py::bytes& bytes, int columns, const std::string& start, const std::string& stop,
                   bool aligned) {
    const std::string_view text(bytes);
    std::vector<double> values;
    values.reserve(text.size() / 16 + 1);
    std::ptrdiff_t decimals = -1;
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
            if (!aligned) continue;
            if (values.size() == 1) decimals = decimals_of(word, at);
            if (decimals < 0 || decimals_of(word, at) != decimals) refuse(row, "has other decimals");
        }
        if (found != columns) refuse(row, "has not " + std::to_string(columns) + " numbers");
        at = next;
    }
    Doubles rows({py::ssize_t(values.size()) / columns, py::ssize_t(columns)});
    std::memcpy(rows.mutable_data(), values.data(), values.size() * sizeof(double));
    return rows;
}

// Position, and number as a byte, of each of `words` from byte `start` on, in the order of the text.
//
// Two bytes of the words are looked up at each position: the last ones, which are rarer than the first, or
// the second and third where all words begin with the same byte, as tags do.
std::pair<std::vector<std::size_t>, py::bytes> find_words(const py::bytes& bytes,
                                                          const std::vector<std::string>& words,
                                                          std::size_t start) {
    const std::string_view text(bytes);
    require(!words.empty() && words.size() < 32, "1 to 31 words can be looked for");
    bool same_first = true;
    for (const std::string& word : words) {
        require(word.size() > 2, "a word has three bytes or more");
        same_first = same_first && word[0] == words[0][0];
    }
    std::array<std::uint32_t, 4096> by_pair{};  // bit n for word n
    for (std::size_t n = 0; n < words.size(); ++n)
        by_pair[pair_at(words[n].data() + (same_first ? 1 : words[n].size() - 2))] |= std::uint32_t(1) << n;
    std::vector<std::pair<std::size_t, std::size_t>> found;
    for (std::size_t at = start + (same_first ? 1 : 0); at + 1 < text.size(); ++at) {
        if (same_first) {
            at = text.find(words[0][0], at - 1);
            if (at == text.npos || ++at + 1 >= text.size()) break;
        }
        const std::uint32_t candidates = by_pair[pair_at(text.data() + at)];
        for (std::size_t n = 0; candidates >> n; ++n) {
            const std::size_t before = same_first ? 1 : words[n].size() - 2;
            if ((candidates >> n & 1) && at >= start + before &&
                text.substr(at - before, words[n].size()) == words[n])
                found.emplace_back(at - before, n);
        }
    }
    std::sort(found.begin(), found.end());
    std::vector<std::size_t> places;
    std::string numbers;
    for (const auto& [place, number] : found) {
        places.push_back(place);
        numbers += char(number);
    }
    return {places, numbers};
}

// Whether no number is larger than `limit`; false for NaN.
bool within(const Doubles& values, double limit) {
    const double* value = values.data();
    return std::all_of(value, value + values.size(), [limit](double x) { return std::abs(x) <= limit; });
}

// A number to `decimals`, as printf rounds it; returns the end.
//
// The digits of mantissa * 2^exponent are those of mantissa * 10^decimals, an integer of 128 bits, shifted.
char* write_fixed(char* at, char* end, double value, int decimals) {
    static const std::array<std::uint64_t, 16> powers = [] {
        std::array<std::uint64_t, 16> found{1};
        for (std::size_t n = 1; n < found.size(); ++n) found[n] = 10 * found[n - 1];
        return found;
    }();
    int exponent = 0;
    const double mantissa = std::ldexp(std::frexp(std::abs(value), &exponent), 53);
    const int shift = 53 - exponent;
    if (!std::isfinite(value) || shift <= 0 || shift > 120)
        return std::to_chars(at, end, value, std::chars_format::fixed, decimals).ptr;
    using Wide = unsigned __int128;
    const std::uint64_t power = powers[std::size_t(decimals)];
    const Wide scaled = Wide(std::uint64_t(mantissa)) * power, half = Wide(1) << (shift - 1);
    Wide digits = scaled >> shift;
    const Wide rest = scaled - (digits << shift);
    digits += rest > half || (rest == half && (digits & 1));
    if (digits >> 63) return std::to_chars(at, end, value, std::chars_format::fixed, decimals).ptr;
    if (std::signbit(value)) *at++ = '-';
    at = std::to_chars(at, end, std::uint64_t(digits) / power).ptr;
    *at = '.';
    std::uint64_t fraction = std::uint64_t(digits) % power;
    for (int n = decimals; n > 0; --n, fraction /= 10) at[n] = char('0' + fraction % 10);
    return at + 1 + decimals;
}

// ` %{width}.{decimals}f`
void append(std::string& text, double value, int width, int decimals) {
    char buffer[400];
    const auto length = write_fixed(buffer, std::end(buffer), value, decimals) - buffer;
    text.append(std::size_t(1 + std::max<std::ptrdiff_t>(width - length, 0)), ' ');
    text.append(buffer, std::size_t(length));
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
    module.def("find_words", &find_words, py::arg("text"), py::arg("words"), py::arg("start") = 0);
    module.def("parse_rows", &parse_rows, py::arg("text"), py::arg("columns"), py::arg("start") = "",
               py::arg("stop") = "", py::arg("aligned") = false);
    module.def("within", &within, py::arg("values"), py::arg("limit"));
    module.def("format_atoms", &format_atoms, py::arg("symbols"), py::arg("positions"), py::arg("forces"),
               py::arg("decimals"));
}

}  // namespace bnnp

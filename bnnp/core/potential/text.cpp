#include "potential/text.hpp"

#include <cmath>
#include <cstdio>
#include <locale>
#include <sstream>

namespace bnnp {

std::vector<Line> lines_of(const std::string& text, const char* comment) {
    std::vector<Line> lines;
    std::istringstream stream(text);
    std::string raw;
    for (int number = 1; std::getline(stream, raw); ++number) {
        std::istringstream rest(raw.substr(0, raw.find_first_of(comment)));
        Line line{number, {}};
        for (std::string word; rest >> word;) line.words.push_back(word);
        if (!line.words.empty()) lines.push_back(line);
    }
    return lines;
}

double to_number(const std::string& word, const std::string& where) {
    std::string text = word;
    for (char& c : text)
        if (c == 'd' || c == 'D') c = 'e';  // Fortran writes 1.0d0
    std::istringstream stream(text);
    stream.imbue(std::locale::classic());
    double value = 0.0;
    if (!(stream >> value) || !stream.eof() || !std::isfinite(value))
        throw FileError(where + ": `" + word + "` is not a finite number");
    return value;
}

int to_integer(const std::string& word, const std::string& where) {
    const double value = to_number(word, where);
    if (word.find_first_of(".eEdD") != std::string::npos || std::abs(value) > 1e9)
        throw FileError(where + ": `" + word + "` is not an integer");
    return int(value);
}

bool is_seed(const std::string& word) { return word.find_first_not_of("0123456789") == std::string::npos; }

std::string join(const Words& words, const std::string& separator) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
    return text;
}

std::string number(double value, int digits) {
    char text[32];
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    return text;
}

std::string python_repr(double value) {
    std::string text;
    for (int digits = 0; digits < 17; ++digits) {  // the fewest that read back as the same number
        std::ostringstream stream;
        stream.imbue(std::locale::classic());
        stream.precision(digits);
        stream << std::scientific << value;
        text = stream.str();
        if (to_number(text, "") == value) break;
    }
    const std::size_t e = text.find('e');
    const int exponent = std::stoi(text.substr(e + 1));
    const std::string sign = text[0] == '-' ? "-" : "";
    std::string digits = text.substr(sign.size(), e - sign.size());
    if (digits.size() > 1) digits.erase(1, 1);  // the point
    const int n = int(digits.size());
    if (exponent < -4 || exponent >= 16)
        return sign + digits.substr(0, 1) + (n > 1 ? "." + digits.substr(1) : "") + text.substr(e);
    if (exponent < 0) return sign + "0." + std::string(-exponent - 1, '0') + digits;
    if (n <= exponent + 1) return sign + digits + std::string(exponent + 1 - n, '0') + ".0";
    return sign + digits.substr(0, exponent + 1) + "." + digits.substr(exponent + 1);
}

}  // namespace bnnp

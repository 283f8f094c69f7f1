// Text to words and numbers, independent of the locale of the host program.
#include <cmath>
#include <cstdio>
#include <locale>
#include <sstream>

#include "potential.hpp"

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
    if (value != std::floor(value) || std::abs(value) > 1e9)
        throw FileError(where + ": `" + word + "` is not an integer");
    return int(value);
}

std::string join(const std::vector<std::string>& words, const std::string& separator) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
    return text;
}

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", value);
    return text;
}

}  // namespace bnnp

// Text to words and numbers and back, independent of the locale of the host program.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace bnnp {

using Words = std::vector<std::string>;

// What is wrong with a file, in a sentence.
struct FileError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A line of a file without its comment, cut into words.
struct Line {
    int number = 0;
    Words words;
};

std::vector<Line> lines_of(const std::string& text, const char* comment = "#");

double to_number(const std::string& word, const std::string& where);  // FileError if not a finite number
int to_integer(const std::string& word, const std::string& where);

bool is_seed(const std::string& word);  // of random numbers: digits only, as many as you like
std::string join(const Words& words, const std::string& separator = " ");
std::string number(double value, int digits = 6);  // for messages
std::string python_repr(double value);             // repr() of a Python float

}  // namespace bnnp

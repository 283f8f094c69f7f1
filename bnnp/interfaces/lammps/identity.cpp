// The line `# potential` of the files, word for word as bnnp.io.checksums makes it.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <locale>
#include <regex>
#include <sstream>

#include "potential.hpp"

namespace bnnp {

namespace {

using Parts = std::vector<std::pair<std::string, std::string>>;  // name -> text

std::uint32_t rotated(std::uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

// The first 32 bits of the fractional parts of the square and cube roots of the first primes (FIPS
// 180-4, 4.2.2, 5.3.3).
struct Constants {
    std::uint32_t start[8], round[64];
    Constants() {
        int n = 0;
        for (int p = 2; n < 64; ++p) {
            bool prime = true;
            for (int d = 2; d * d <= p; ++d) prime = prime && p % d != 0;
            if (!prime) continue;
            const long double square = std::sqrt((long double)(p)), cube = std::cbrt((long double)(p));
            if (n < 8) start[n] = std::uint32_t((square - std::floor(square)) * 4294967296.0L);
            round[n++] = std::uint32_t((cube - std::floor(cube)) * 4294967296.0L);
        }
    }
};

void compress(std::uint32_t* state, const unsigned char* block, const Constants& constants) {
    std::uint32_t w[64], s[8];
    for (int t = 0; t < 16; ++t)
        w[t] = std::uint32_t(block[4 * t]) << 24 | block[4 * t + 1] << 16 | block[4 * t + 2] << 8 |
               block[4 * t + 3];
    for (int t = 16; t < 64; ++t) {
        const std::uint32_t a = w[t - 15], b = w[t - 2];
        w[t] = w[t - 16] + (rotated(a, 7) ^ rotated(a, 18) ^ (a >> 3)) + w[t - 7] +
               (rotated(b, 17) ^ rotated(b, 19) ^ (b >> 10));
    }
    std::memcpy(s, state, sizeof s);
    for (int t = 0; t < 64; ++t) {
        const std::uint32_t e = s[4], a = s[0];
        const std::uint32_t one = s[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) +
                                  ((e & s[5]) ^ (~e & s[6])) + constants.round[t] + w[t];
        const std::uint32_t two =
            (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        for (int k = 7; k > 0; --k) s[k] = s[k - 1];
        s[4] += one;
        s[0] = one + two;
    }
    for (int k = 0; k < 8; ++k) state[k] += s[k];
}

std::string fingerprint(const InputNN& input) {
    std::string text = input.metal ? "metal" : "atomic";
    for (const std::string& element : input.elements) text += "\n" + element;
    text += "\ncutoff " + std::to_string(input.cutoff_type) + " " + python_repr(input.cutoff_alpha);
    for (const auto& functions : input.functions)
        for (const SymmetryFunction& function : functions) text += "\n" + function.definition;
    return sha256(text);
}

std::string describe_layers(const InputNN& input) {
    std::string text;
    for (std::size_t e = 0; e < input.elements.size(); ++e) {
        text += (e ? ", " : "") + input.elements[e] + " " + std::to_string(input.n_functions(int(e)));
        for (int nodes : input.nodes) text += "-" + std::to_string(nodes);
        text += "-1 (";
        for (std::size_t l = 0; l < input.activations.size(); ++l)
            text += (l ? " " : "") + std::string(1, input.activations[l]);
        text += ")";
    }
    return text + (input.normalize_nodes ? ", normalize_nodes" : "");
}

Parts parts_of(const InputNN& input, const std::vector<Ranges>& ranges,
               const std::vector<std::string>& checksums) {
    const std::string kind = input.scaling();
    std::string atoms, interval;
    if (kind != "none" && kind != "center")
        interval = " " + python_repr(input.s_min) + " " + python_repr(input.s_max);
    for (std::size_t e = 0; e < input.elements.size(); ++e)
        atoms += (e ? ", " : "") + input.elements[e] + " " + python_repr(input.atom_energies[e]);
    Parts parts{{"functions", fingerprint(input)},
                {"scaling", kind + interval},
                {"layers", describe_layers(input)},
                {"normalization", python_repr(input.mean_energy) + " " + python_repr(input.conv_energy) +
                                      " " + python_repr(input.conv_length)},
                {"atoms", atoms}};
    if (!ranges.empty()) {
        std::vector<double> all;
        for (const Ranges& r : ranges)
            for (const auto* column : {&r.minimum, &r.maximum, &r.mean, &r.sigma})
                all.insert(all.end(), column->begin(), column->end());
        parts.push_back({"ranges", sha256(all)});
    }
    for (std::size_t e = 0; e < input.elements.size(); ++e) {
        const std::string name = weights_name(input.numbers[e]);
        parts.push_back({name.substr(0, name.size() - 5), checksums[e]});  // without ".data"
    }
    return parts;
}

// Names and digests of the line in the head of a file; empty if it has none.
std::map<std::string, std::string> read_identity(const std::string& text) {
    static const std::regex pattern("#\\s*potential((\\s+[\\w.]+:[0-9a-f]{16})+)\\s*");
    std::istringstream stream(text);
    std::map<std::string, std::string> digests;
    for (std::string line; std::getline(stream, line) && (line.empty() || line[0] == '#');) {
        std::smatch match;
        if (!std::regex_match(line, match, pattern)) continue;
        std::istringstream words(match[1].str());
        for (std::string word; words >> word;)
            digests[word.substr(0, word.find(':'))] = word.substr(word.find(':') + 1);
        return digests;
    }
    return digests;
}

}  // namespace

std::string sha256(const std::string& bytes) {
    static const Constants constants;
    std::uint32_t state[8];
    std::memcpy(state, constants.start, sizeof state);
    std::string padded = bytes + char(0x80);
    while (padded.size() % 64 != 56) padded += '\0';
    for (int shift = 56; shift >= 0; shift -= 8)
        padded += char((std::uint64_t(bytes.size()) * 8) >> shift & 0xff);
    for (std::size_t at = 0; at < padded.size(); at += 64)
        compress(state, reinterpret_cast<const unsigned char*>(padded.data()) + at, constants);
    std::string text;
    for (std::uint32_t word : state) {
        char hex[9];
        std::snprintf(hex, sizeof hex, "%08x", unsigned(word));
        text += hex;
    }
    return text;
}

std::string sha256(const std::vector<double>& values) {
    return sha256(std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)));
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
    const bool negative = text[0] == '-';
    std::string digits = text.substr(negative, e - negative);
    if (digits.size() > 1) digits.erase(1, 1);  // the point
    const int n = int(digits.size());
    if (exponent < -4 || exponent >= 16)
        text = digits.substr(0, 1) + (n > 1 ? "." + digits.substr(1) : "") + text.substr(e);
    else if (exponent < 0) text = "0." + std::string(-exponent - 1, '0') + digits;
    else if (n <= exponent + 1) text = digits + std::string(exponent + 1 - n, '0') + ".0";
    else text = digits.substr(0, exponent + 1) + "." + digits.substr(exponent + 1);
    return (negative ? "-" : "") + text;
}

void check_identity(const Texts& files, const InputNN& input, const std::vector<Ranges>& ranges,
                    const std::vector<std::string>& checksums) {
    std::string first;
    std::map<std::string, std::string> known;
    for (const auto& [name, text] : files) {
        const auto digests = read_identity(text);
        if (name == "input.nn" || digests.empty()) continue;
        if (first.empty()) first = name, known = digests;
        if (digests != known)
            throw FileError(first + " and " + name +
                            " belong to different potentials: their lines `# potential` differ. "
                            "Copy the directory that mode 2 wrote again, as a whole");
    }
    if (first.empty()) return;  // files of RuNNer or n2p2
    std::string differing;
    for (const auto& [name, text] : parts_of(input, ranges, checksums)) {
        if (known[name] != sha256(text).substr(0, 16)) differing += (differing.empty() ? "" : ", ") + name;
        known.erase(name);
    }
    if (!differing.empty())
        throw FileError(
            "input.nn and the files beside it do not belong together. Changed since mode 2 wrote them: " +
            differing + ". Copy the directory that mode 2 wrote again, as a whole");
    if (ranges.empty()) known.erase("ranges");
    if (!known.empty())
        throw FileError("this potential depends on `" + known.begin()->first +
                        "`, which this plugin does not know: "
                        "it was written by another version of bnnp. Build the plugin with that version");
}

}  // namespace bnnp

// The section [calibration] of uncertainty.data, read as bnnp.io.calibration_section does, and its maps
// (bnnp.uncertainty.maps): from the standard deviation of the samples to a calibrated one that never falls.
#include <algorithm>
#include <cmath>

#include "potential.hpp"

namespace bnnp {

namespace {

const std::string WHERE = "uncertainty.data, [calibration]: ";
const std::string AGAIN =
    ". Calibrate again: `bnnp --mode 3` with the keyword `calibrate`; or remove the section, for raw "
    "standard deviations";

using Words = std::vector<std::string>;
using Entries = std::map<std::string, Words>;

void demand(bool fits, const std::string& expected) {
    if (!fits) throw FileError(WHERE + "cut short or damaged: " + expected + AGAIN);
}

double number(const std::string& word, const std::string& where) {
    try {
        return to_number(word, WHERE + where);
    } catch (const FileError& mistake) {
        throw FileError(mistake.what() + AGAIN);
    }
}

// The words of the section, what is of kind mc by quantity (`energy`, `forces Ge`) and line (`map`, ...).
struct Section {
    bool there = false, hybrid = false;
    std::string version = "none", use;
    Entries weights;
    Words structures;
    std::map<std::string, Entries> quantities;
};

Section read_section(const std::string& text) {
    Section section;
    bool inside = false;
    for (const Line& line : lines_of(text)) {
        const Words& w = line.words;
        if (w[0][0] == '[') {
            inside = join(w) == "[calibration]";
            section.there = section.there || inside;
        } else if (!inside || w.size() < 2) continue;
        else if (w[0] == "version") section.version = w[1];
        else if (w[0] == "use") section.use = w[1];
        else if (w[0] == "weights") section.weights[w[1]] = Words(w.begin() + 2, w.end());
        else if (w[0] == "hybrid") section.hybrid = true;
        else if (w[0] == "mc" && w[1] == "structures") section.structures = Words(w.begin() + 2, w.end());
        else if (w[0] == "mc" && w[1] != "quantiles") {
            const std::size_t end = w[1] == "forces" ? 3 : 2;  // of the name of the quantity
            demand(w.size() > end, "`" + join(w) + "`");
            section.quantities[join(Words(w.begin() + 1, w.begin() + end))][w[end]] =
                Words(w.begin() + end + 1, w.end());
        }
    }
    return section;
}

// Of one quantity: its lines `map`, `parts` and `conformal` (for others) by these names.
SigmaMap make_map(const std::string& quantity, const Entries& lines) {
    for (const char* name : {"map", "parts", "conformal"})
        demand(lines.count(name) > 0, "no `" + quantity + " " + name + "`");
    const Words &parts = lines.at("parts"), &words = lines.at("map");
    demand(parts.size() == 1, "`" + quantity + " parts` needs one number");
    SigmaMap map;
    map.factor = std::abs(number(parts[0], quantity));
    std::vector<double> numbers;
    for (std::size_t n = 1; n < words.size(); ++n) numbers.push_back(number(words[n], quantity));
    if (!words.empty() && words[0] == "quadratic") {
        demand(numbers.size() == 4 && *std::min_element(numbers.begin(), numbers.begin() + 3) >= 0.0 &&
                   numbers[0] + numbers[1] + numbers[2] > 0.0 && numbers[3] > 0.0,
               "`" + quantity + " map quadratic` needs s_0, a, b >= 0, not all 0, and largest > 0");
        map.quadratic = numbers;
        return map;
    }
    demand(!words.empty() && words[0] == "isotonic",
           "`" + quantity + " map` is neither quadratic nor isotonic");
    for (std::size_t n = 0; n < numbers.size(); ++n) (n % 2 ? map.calibrated : map.raw).push_back(numbers[n]);
    bool rising = !map.raw.empty() && map.raw.size() == map.calibrated.size();
    for (std::size_t n = 1; rising && n < map.raw.size(); ++n)
        rising = map.raw[n] > map.raw[n - 1] && map.calibrated[n] >= map.calibrated[n - 1];
    demand(rising && map.raw.front() >= 0.0 && map.raw.back() > 0.0 && map.calibrated.front() > 0.0,
           "`" + quantity +
               " map isotonic` needs pairs of a rising raw and a calibrated sigma that does not fall");
    return map;
}

void check_weights(const Entries& weights, const InputNN& input, const std::vector<std::string>& checksums) {
    bool same = weights.size() == input.elements.size();
    for (std::size_t e = 0; same && e < checksums.size(); ++e) {
        const auto found = weights.find(input.elements[e]);
        same = found != weights.end() && found->second == Words{checksums[e]};
    }
    if (!same) throw FileError(WHERE + "was made with other networks than those here" + AGAIN);
}

}  // namespace

double SigmaMap::operator()(double sigma) const {
    if (!*this) return sigma;
    sigma *= factor;
    if (!quadratic.empty()) {
        const double s_0 = quadratic[0], a = quadratic[1], b = quadratic[2], largest = quadratic[3];
        const double known = std::min(sigma, largest), square = known * known;
        return std::sqrt(s_0 * s_0 + a * square + b * square * square) * std::max(sigma / largest, 1.0);
    }
    const std::size_t next = std::upper_bound(raw.begin(), raw.end(), sigma) - raw.begin();
    if (next == 0) return calibrated.front();
    if (next == raw.size()) return calibrated.back() * (sigma / raw.back());
    const double slope = (calibrated[next] - calibrated[next - 1]) / (raw[next] - raw[next - 1]);
    return calibrated[next - 1] + slope * (sigma - raw[next - 1]);
}

Calibration read_calibration(const std::string& text, const InputNN& input,
                             const std::vector<std::string>& checksums) {
    const Section section = read_section(text);
    Calibration calibration;
    calibration.wanted = input.uncertainty;
    calibration.forces.resize(input.elements.size());
    if (!section.there) return calibration;
    if (section.version != "1")
        throw FileError(WHERE + "version " + section.version + ", but this plugin knows 1" + AGAIN);
    const bool mc = !section.quantities.empty();
    demand((section.use == "mc" && mc) || (section.use == "hybrid" && section.hybrid),
           "no `use`, or nothing of its kind");
    check_weights(section.weights, input, checksums);
    if (calibration.wanted.empty()) calibration.wanted = section.use;
    if (mc) {
        demand(section.structures.size() == 3, "no `mc structures` with three numbers");
        calibration.structures = int(number(section.structures[0], "mc structures"));
        calibration.outside = int(number(section.structures[1], "mc structures"));
    } else if (calibration.wanted == "mc")
        throw FileError(WHERE + "input.nn says `uncertainty mc`, but only hybrid is calibrated" + AGAIN);
    auto map_of = [&](const std::string& quantity) {
        const auto found = section.quantities.find(quantity);
        return found == section.quantities.end() ? SigmaMap() : make_map("mc " + quantity, found->second);
    };
    calibration.energy = map_of("energy");
    for (std::size_t e = 0; e < input.elements.size(); ++e)
        calibration.forces[e] = map_of("forces " + input.elements[e]);
    return calibration;
}

std::string Calibration::describe() const {
    if (!energy && forces.empty()) return "raw (uncalibrated)";
    std::string text = "calibrated (mc) on " + std::to_string(structures) + " structures";
    if (outside) text += " and " + std::to_string(outside) + " out of the domain";
    if (!energy || forces.empty())
        text += std::string("; raw (uncalibrated): ") + (energy ? "forces" : "energy");
    return text;
}

std::string Calibration::warning() const {
    if (wanted != "hybrid") return "";
    const bool calibrated = energy || !forces.empty();
    return std::string(
               "this potential asks for `uncertainty hybrid`, which pair_style bnnp does not compute. "
               "Its standard deviations are ") +
           (calibrated ? "those of `uncertainty mc`, calibrated Monte Carlo"
                       : "raw (uncalibrated) Monte Carlo ones") +
           ": they differ from those of mode 3 and ASE, and far from the training set they stop growing";
}

}  // namespace bnnp

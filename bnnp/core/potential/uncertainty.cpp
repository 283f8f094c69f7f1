// uncertainty.data: masks and calibration. uncertaintye.data: masks of the networks of charges.
#include <algorithm>
#include <cmath>
#include <map>

#include "potential/potential.hpp"

namespace bnnp {

namespace {

using Lines = std::vector<Line>;

const std::string FILE_NAME = "uncertainty.data", CHARGE_MASKS = "uncertaintye.data";
const char* AGAIN =
    ". Calibrate again: `bnnp --mode 3` with the keyword `calibrate`; or remove the section, for raw "
    "standard deviations";

std::map<std::string, Lines> sections_of(const std::string& text, const std::string& file, bool& centered) {
    std::map<std::string, Lines> sections;
    std::string section;
    for (const Line& line : lines_of(text)) {
        if (line.words[0][0] == '[') section = join(line.words), sections[section];
        else sections[section].push_back(line);
    }
    const Lines& head = sections[""];
    const std::string format = head.size() == 1 ? join(head[0].words) : "";
    if (format != "format 1" && format != "format 2")
        throw FileError(file + ": neither `format 1` nor `format 2` before the first section" + DAMAGED);
    centered = format == "format 2";
    return sections;
}

// ---- masks ----

// Of the networks of the energy, or of those of the charges.
class MaskReader {
  public:
    std::vector<double> rates;  // of the file
    int samples = 0;            // that are kept

    MaskReader(PotentialData& data, bool of_charges, bool centered)
        : data(data),
          of_charges(of_charges),
          centered(centered),
          file(of_charges ? CHARGE_MASKS : FILE_NAME) {}

    void read(const Lines& lines) {
        for (const Line& line : lines) read(line);
        if (!seed) throw FileError(file + ": no `seed` in [masks]" + DAMAGED);
        for (const Element& element : data.elements) check(element);
        const int members = data.ensemble_size;  // they share the samples
        samples = take(data.mc_samples < 0 ? samples : (data.mc_samples + members - 1) / members);
    }

  private:
    static constexpr double MISSING = -1.0;

    PotentialData& data;
    const bool of_charges, centered;
    const std::string file;
    bool seed = false;
    std::map<std::string, std::pair<bool, bool>> seen;  // nodes and weights of each element
    const Line* line = nullptr;

    std::string where() const { return file + " line " + std::to_string(line->number); }
    int integer(std::size_t word) const { return to_integer(line->words[word], where()); }

    void demand(bool fits) const {
        if (fits) return;
        const std::string text = join(line->words).substr(0, 60);
        throw FileError(where() + ": `" + text + "` is not in the format of bnnp, or of another network" +
                        DAMAGED);
    }

    Element& element() const {
        for (Element& element : data.elements)
            if (line->words.size() > 1 && element.symbol == line->words[1]) return element;
        throw FileError(where() + ": `" + join(line->words).substr(0, 60) + "` is of no element of input.nn");
    }

    TrainedNetwork& network() const { return network_of(element()); }
    TrainedNetwork& network_of(Element& element) const { return of_charges ? element.charges : element; }
    const Layout& layout() const { return of_charges ? data.charge_layout : data.layout; }

    void read(const Line& next) {
        line = &next;
        const Words& words = line->words;
        if (words[0] == "samples") {
            demand(words.size() == 2 && samples == 0 && integer(1) > 0);
            samples = integer(1);
        } else if (words[0] == "seed") {
            demand(words.size() == 2 && !seed && is_seed(words[1]));
            seed = true;
        } else if (words[0] == "rates") {
            demand(rates.empty() && words.size() > layout().nodes.size() + 1);
            for (std::size_t n = 1; n < words.size(); ++n) {
                rates.push_back(to_number(words[n], where()));
                demand(rates.back() >= 0.0 && rates.back() < 1.0);
            }
        } else if (words[0] == "nodes") {
            const std::vector<LayerSpec>& layers = network().layers;
            demand(words.size() == layers.size() + 2);
            for (std::size_t l = 0; l < layers.size(); ++l) demand(integer(l + 2) == layers[l].n_in);
            seen[words[1]].first = true;
        } else if (words[0] == "weights" && words.size() == 3) {
            if (words[2] != network().checksum)
                throw FileError(where() + ": the masks were made for other weights than those of " +
                                name_of(element(), of_charges ? "weightse" : "weights") + DAMAGED);
            seen[words[1]].second = true;
        } else if (words[0] == "mask") read_mask();
        else if (words[0] == "mean") read_mean();
    }

    void read_mean() {
        const Words& words = line->words;
        demand(centered && words.size() > 3);
        std::vector<LayerSpec>& layers = network().layers;
        const std::size_t l = integer(2);
        demand(l < layers.size() && layers[l].means.empty() && int(words.size()) == layers[l].n_in + 3);
        for (std::size_t n = 3; n < words.size(); ++n)
            layers[l].means.push_back(to_number(words[n], where()));
    }

    void read_mask() {
        const Words& words = line->words;
        demand(words.size() == 5 && samples > 0);
        std::vector<LayerSpec>& layers = network().layers;
        const std::size_t l = integer(2), sample = integer(3) - 1, all = samples;
        demand(l < layers.size() && l < rates.size() && sample < all);
        LayerSpec& layer = layers[l];
        demand(int(words[4].size()) == layer.n_in && words[4].find_first_not_of("01") == std::string::npos);
        if (layer.masks.empty()) layer.masks.assign(layer.n_in * all, MISSING);
        demand(layer.masks[sample] == MISSING);  // each mask once
        for (int u = 0; u < layer.n_in; ++u)
            layer.masks[u * all + sample] = words[4][u] == '1' ? 1.0 / (1.0 - rates[l]) : 0.0;
    }

    void check(const Element& element) {
        const auto [nodes, weights] = seen[element.symbol];
        if (!nodes || !weights || rates.empty())
            throw FileError(file + ": nothing about " + element.symbol + DAMAGED);
        const std::vector<LayerSpec>& layers = of_charges ? element.charges.layers : element.layers;
        for (std::size_t l = 0; l < layers.size(); ++l) {
            const std::vector<double>& masks = layers[l].masks;
            const auto first_unit = masks.begin() + (masks.empty() ? 0 : samples);
            const auto found = (first_unit - masks.begin()) - std::count(masks.begin(), first_unit, MISSING);
            if (found != (rates[l] > 0.0 ? samples : 0))
                throw FileError(file + ": " + std::to_string(found) + " masks in layer " + std::to_string(l) +
                                " of " + element.symbol + ", expected one for each of " +
                                std::to_string(samples) + " samples" + DAMAGED);
            if (centered && (masks.empty() != layers[l].means.empty()))
                throw FileError(file + ": the means of layer " + std::to_string(l) + " of " + element.symbol +
                                " are missing, or of a layer without masks" + DAMAGED);
        }
    }

    // Keeps the first `wanted` masks of all layers.
    int take(int wanted) {
        if (wanted > samples)
            throw FileError("mc_samples is " + std::to_string(wanted) + ", but " + file + " holds " +
                            std::to_string(samples) +
                            " masks. Set mc_samples to that, or run mode 2 with more");
        for (Element& element : data.elements)
            for (LayerSpec& layer : network_of(element).layers) {
                const std::vector<double> all = std::move(layer.masks);
                layer.masks.clear();
                for (auto unit = all.begin(); unit != all.end(); unit += samples)
                    layer.masks.insert(layer.masks.end(), unit, unit + wanted);
            }
        return wanted;
    }
};

// ---- calibration ----

std::string in_calibration(const std::string& what) { return FILE_NAME + ", [calibration]: " + what; }

void demand(bool fits, const std::string& expected) {
    if (!fits) throw FileError(in_calibration("cut short or damaged: " + expected + AGAIN));
}

std::vector<double> numbers(const Words& words, std::size_t first, const std::string& where) {
    std::vector<double> values;
    try {
        for (std::size_t n = first; n < words.size(); ++n)
            values.push_back(to_number(words[n], in_calibration(where)));
    } catch (const FileError& mistake) {
        throw FileError(mistake.what() + std::string(AGAIN));
    }
    return values;
}

// The words of the section: by kind `mc` or `hybrid`, quantity (`energy`, `forces Ge`) and line (`map`, ...).
struct Section {
    std::map<std::string, Words> single, weights;
    std::map<std::string, std::map<std::string, std::map<std::string, Words>>> kinds;

    explicit Section(const Lines& lines) {
        for (const Line& line : lines) {
            const Words& w = line.words;
            if (w.size() < 2) continue;
            if (w[0] == "weights") weights[w[1]] = Words(w.begin() + 2, w.end());
            else if (w[0] != "mc" && w[0] != "hybrid") single[w[0]] = Words(w.begin() + 1, w.end());
            else if (w[1] == "structures" || w[1] == "reach")
                kinds[w[0]][w[1]][""] = Words(w.begin() + 2, w.end());
            else if (w[1] != "quantiles") {
                const std::size_t end = w[1] == "forces" ? 3 : 2;  // of the name of the quantity
                demand(w.size() > end, "`" + join(w) + "`");
                const std::string quantity = join(Words(w.begin() + 1, w.begin() + end));
                kinds[w[0]][quantity][w[end]] = Words(w.begin() + end + 1, w.end());
            }
        }
    }
};

// Of one quantity: its lines `map`, `parts` and, for others, `conformal`.
Quantity make_quantity(const std::string& quantity, const std::map<std::string, Words>& lines,
                       std::size_t n_parts) {
    for (const char* name : {"map", "parts", "conformal"})
        demand(lines.count(name) > 0, "no `" + quantity + " " + name + "`");
    Quantity found;
    found.weights = numbers(lines.at("parts"), 0, quantity);
    const std::size_t given = found.weights.size();
    demand(given == n_parts || (n_parts == 4 && given == 5),
           "`" + quantity + " parts` needs " + (n_parts == 1 ? "one number" : "four or five numbers"));
    if (given > 4) found.inside = found.weights[4];
    if (n_parts == 4) found.least = found.weights[3], found.weights.resize(3);
    SigmaMap& map = found.map;
    const std::string kind = lines.at("map").empty() ? "" : lines.at("map")[0];
    const std::string name = "`" + quantity + " map ";
    const std::vector<double> n = numbers(lines.at("map"), 1, quantity);
    if (kind == "quadratic") {
        demand(n.size() == 4 && std::min({n[0], n[1], n[2]}) >= 0.0 && n[0] + n[1] + n[2] > 0.0 && n[3] > 0.0,
               name + "quadratic` needs s_0, a, b >= 0, not all 0, and largest > 0");
        map.quadratic = n;
        return found;
    }
    demand(kind == "isotonic", "`" + quantity + " map` is neither quadratic nor isotonic");
    bool rising = n.size() >= 2 && n.size() % 2 == 0 && n[0] >= 0.0 && n[n.size() - 2] > 0.0 && n[1] > 0.0;
    for (std::size_t k = 2; rising && k < n.size(); k += 2) rising = n[k] > n[k - 2] && n[k + 1] >= n[k - 1];
    demand(rising, name + "isotonic` needs pairs of a rising raw and a calibrated sigma that does not fall");
    for (std::size_t k = 0; k < n.size(); k += 2) map.raw.push_back(n[k]), map.calibrated.push_back(n[k + 1]);
    return found;
}

void check_weights(const std::map<std::string, Words>& weights, const PotentialData& data) {
    bool same = weights.size() == data.elements.size();
    for (const Element& element : data.elements) {
        const auto found = weights.find(element.symbol);  // a checksum for each network of an ensemble
        same = same && found != weights.end() && int(found->second.size()) == data.ensemble_size &&
               found->second[0] == element.checksum;
    }
    if (!same) throw FileError(in_calibration("was made with other networks than those here") + AGAIN);
}

void read_calibration(const Lines& lines, PotentialData& data) {
    const Section section(lines);
    Calibration& calibration = data.calibration;
    const auto single = [&](const char* name) {
        return section.single.count(name) ? join(section.single.at(name)) : "none";
    };
    if (single("version") != "3")
        throw FileError(in_calibration("version " + single("version") + ", but this bnnp knows 3") + AGAIN);
    demand(section.kinds.count(single("use")) > 0, "no `use`, or nothing of its kind");
    check_weights(section.weights, data);
    calibration.kind = data.uncertainty.empty() ? single("use") : data.uncertainty;
    if (!section.kinds.count(calibration.kind))
        throw FileError(in_calibration("input.nn says `uncertainty " + calibration.kind +
                                       "`, but only the other kind is calibrated") +
                        AGAIN);
    auto quantities = section.kinds.at(calibration.kind);
    const std::string kind = calibration.kind + " ";
    const std::vector<double> counts = numbers(quantities["structures"][""], 0, kind + "structures");
    demand(counts.size() == 3, "no `" + kind + "structures` with three numbers");
    calibration.structures = int(counts[0]);
    calibration.outside = int(counts[1]);
    if (quantities.count("reach")) {
        const std::vector<double> reach = numbers(quantities["reach"][""], 0, kind + "reach");
        demand(reach.size() == 1, "`" + kind + "reach` needs one number");
        calibration.reach = reach[0];
    }
    auto quantity_of = [&](const std::string& name) {
        return quantities.count(name)
                   ? make_quantity(kind + name, quantities[name], calibration.hybrid() ? 4 : 1)
                   : Quantity();
    };
    calibration.energy = quantity_of("energy");
    for (std::size_t e = 0; e < data.elements.size(); ++e)
        calibration.forces[e] = quantity_of("forces " + data.elements[e].symbol);
}

}  // namespace

void read_uncertainty(const std::string& text, PotentialData& data) {
    auto sections = sections_of(text, FILE_NAME, data.centered);
    MaskReader reader(data, false, data.centered);
    reader.read(sections["[masks]"]);
    data.rates = reader.rates;
    const double largest_rate = *std::max_element(data.rates.begin(), data.rates.end());
    data.samples = largest_rate > 0.0 ? reader.samples : 1;
    data.calibration.forces.resize(data.elements.size());
    if (data.samples < 2) return;
    const bool domain = sections.count("[domain]") && !data.elements[0].ranges.minimum.empty();
    if (domain) read_domain(sections["[domain]"], data);
    if (sections.count("[calibration]")) read_calibration(sections["[calibration]"], data);
    else if (data.uncertainty == "hybrid")
        throw FileError("input.nn: `uncertainty hybrid` needs a calibration, and " + FILE_NAME +
                        " has none. Calibrate with `bnnp --mode 3` and the keyword `calibrate`");
    if (data.calibration.hybrid() && data.electrostatics.by_networks())
        throw FileError("`uncertainty hybrid` does not go with charges of networks: write `uncertainty mc`");
    if (data.calibration.hybrid() && !domain)
        throw FileError(
            "`uncertainty hybrid` needs the statistics of the training set: scaling.data, and the section "
            "[domain] of " +
            FILE_NAME + ". Run mode 2 again, or write `uncertainty mc`");
}

void read_charge_masks(const std::string& text, PotentialData& data) {
    bool centered = false;
    auto sections = sections_of(text, CHARGE_MASKS, centered);
    MaskReader reader(data, true, centered);
    reader.read(sections["[masks]"]);
    if (centered != data.centered || reader.samples != data.samples)
        throw FileError(CHARGE_MASKS + ": its masks are not those of " + FILE_NAME +
                        ", as many and of the same format" + DAMAGED);
}

double Quantity::operator()(const SigmaParts& parts, double far) const {
    if (!*this) return parts[0];
    double square = 0.0;
    for (std::size_t k = 0; k < weights.size(); ++k) square += parts[k] * weights[k] * parts[k] * weights[k];
    if (weights.size() == 1) return map(std::sqrt(square));
    const double most = std::hypot(parts[4], inside) * (1.0 + parts[3]);
    const double sigma = std::min(std::max(map(std::sqrt(square)), least * parts[2]), most);
    return std::hypot(sigma, std::sqrt(far) * parts[4]);
}

double Calibration::far(double distance, bool unseen) const {
    const double limit = FAR * reach, ratio = distance > limit ? limit / distance : 1.0;
    const double beyond = 1.0 - ratio * ratio;
    return std::max(beyond * beyond, unseen ? UNSEEN : 0.0);
}

double SigmaMap::operator()(double sigma) const {
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

}  // namespace bnnp

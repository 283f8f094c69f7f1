// The section [domain] of uncertainty.data: statistics of the training atoms.
#include <algorithm>
#include <map>

#include "potential/potential.hpp"

namespace bnnp {

namespace {

const char* WHERE = "uncertainty.data, [domain]: ";
const char* AGAIN = ". Run mode 2 again, or remove this section and write `uncertainty mc`";

class DomainReader {
  public:
    DomainReader(const std::vector<Line>& lines, PotentialData& data) : data(data) {
        for (const Line& line : lines) {
            const Words& w = line.words;
            rows[w[0] + (w.size() > 1 ? " " + w[1] : "")].push_back(
                Words(w.begin() + std::min<std::size_t>(w.size(), 2), w.end()));
        }
    }

    void read() {
        if (!rows.count("version 2")) throw FileError(std::string(WHERE) + "not of version 2" + AGAIN);
        for (Element& element : data.elements) read(element);
    }

  private:
    PotentialData& data;
    std::map<std::string, std::vector<Words>> rows;  // by name and element

    static void demand(bool fits, const std::string& what) {
        if (!fits) throw FileError(WHERE + ("cut short, damaged or of another potential: " + what) + AGAIN);
    }

    static double number_of(const std::string& word, const std::string& name) {
        try {
            return to_number(word, WHERE + name);
        } catch (const FileError& mistake) {
            throw FileError(mistake.what() + std::string(AGAIN));
        }
    }

    std::vector<double> mean(const std::string& name, std::size_t size) {
        const auto& found = rows[name];
        demand(!found.empty() && found[0].size() == size, name);
        std::vector<double> values;
        for (const std::string& word : found[0]) values.push_back(number_of(word, name));
        return values;
    }

    // From its lower triangle: the number of a row, then its numbers.
    std::vector<double> matrix(const std::string& name, std::size_t size) {
        const auto& found = rows[name];
        demand(found.size() == size, name);
        std::vector<double> values(size * size);
        for (std::size_t i = 0; i < size; ++i) {
            demand(found[i].size() == i + 2, name);
            for (std::size_t j = 0; j <= i; ++j)
                values[i * size + j] = values[j * size + i] = number_of(found[i][j + 1], name);
        }
        return values;
    }

    void read(Element& element) {
        const std::string& x = element.symbol;
        const std::size_t n = element.functions.size(), hidden = element.layers.back().n_in;
        TrainingStatistics& own = element.statistics;
        own.mean = mean("mean " + x, n);
        own.covariance = matrix("covariance " + x, n);
        own.feature_mean = mean("feature_mean " + x, hidden);
        own.feature_covariance = matrix("feature_covariance " + x, hidden);
        own.structure_covariance = matrix("structure_covariance " + x, n);
        own.shortest.assign(data.elements.size(), 0.0);
        for (const Words& words : rows["shortest " + x]) {
            demand(words.size() == 2, "shortest " + x);
            const double distance = number_of(words[1], "shortest " + x);
            demand(distance > 0.0, "shortest " + x);
            for (std::size_t other = 0; other < data.elements.size(); ++other)
                if (data.elements[other].symbol == words[0]) own.shortest[other] = distance;
        }
    }
};

}  // namespace

void read_domain(const std::vector<Line>& lines, PotentialData& data) { DomainReader(lines, data).read(); }

}  // namespace bnnp

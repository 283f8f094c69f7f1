#include "directory.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace bnnp {

Texts read_directory(MPI_Comm world, const std::string& directory) {
    int rank = 0;
    MPI_Comm_rank(world, &rank);
    auto content = [&](const std::string& name, bool must) {
        std::string text;
        int size = -1;
        if (rank == 0) {
            std::ifstream file(directory + "/" + name, std::ios::binary);
            std::ostringstream stream;
            if (file && (file.peek() == EOF || stream << file.rdbuf()))
                text = stream.str(), size = int(text.size());
        }
        MPI_Bcast(&size, 1, MPI_INT, 0, world);
        if (size < 0 && must)
            throw FileError(name +
                            " cannot be read. Is this the directory potential/ that bnnp's mode 2 wrote?");
        text.resize(std::max(size, 0));
        MPI_Bcast(&text[0], int(text.size()), MPI_CHAR, 0, world);
        return std::make_pair(size >= 0, text);
    };
    Texts files;
    files["input.nn"] = content("input.nn", true).second;
    for (const std::string& name : needed_files(read_input_nn(files["input.nn"]))) {
        const auto [there, text] = content(name, name.rfind("weights", 0) == 0);
        if (there) files[name] = text;
    }
    return files;
}

}  // namespace bnnp

// The files of a potential for all ranks.
#pragma once

#include <mpi.h>

#include <string>

#include "potential.hpp"

namespace bnnp {

// Texts of the files of `directory`. One rank reads them, all get them: all find the same mistakes.
Texts read_directory(MPI_Comm world, const std::string& directory);

}  // namespace bnnp

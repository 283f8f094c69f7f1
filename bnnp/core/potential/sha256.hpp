// Checksums, as Python's hashlib gives them.
#pragma once

#include <string>
#include <vector>

namespace bnnp {

std::string sha256(const std::string& bytes);
std::string sha256(const std::vector<double>& values);  // of their bytes, little endian

}  // namespace bnnp

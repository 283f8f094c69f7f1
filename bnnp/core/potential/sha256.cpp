#include "potential/sha256.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace bnnp {

namespace {

std::uint32_t rotated(std::uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

// First 32 bits of the fractional parts of the square and cube roots of the first primes (FIPS 180-4, 4.2.2,
// 5.3.3).
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
    for (int t = 0; t < 16; ++t, block += 4)
        w[t] = std::uint32_t(block[0]) << 24 | block[1] << 16 | block[2] << 8 | block[3];
    for (int t = 16; t < 64; ++t) {
        const std::uint32_t a = w[t - 15], b = w[t - 2];
        const std::uint32_t low = rotated(a, 7) ^ rotated(a, 18) ^ (a >> 3);
        const std::uint32_t high = rotated(b, 17) ^ rotated(b, 19) ^ (b >> 10);
        w[t] = w[t - 16] + low + w[t - 7] + high;
    }
    std::memcpy(s, state, sizeof s);
    for (int t = 0; t < 64; ++t) {
        const std::uint32_t a = s[0], e = s[4];
        const std::uint32_t choice = (e & s[5]) ^ (~e & s[6]),
                            majority = (a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]);
        const std::uint32_t one =
            s[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + choice + constants.round[t] + w[t];
        const std::uint32_t two = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + majority;
        for (int k = 7; k > 0; --k) s[k] = s[k - 1];
        s[4] += one;
        s[0] = one + two;
    }
    for (int k = 0; k < 8; ++k) state[k] += s[k];
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
    for (const std::uint32_t word : state) {
        char hex[9];
        std::snprintf(hex, sizeof hex, "%08x", unsigned(word));
        text += hex;
    }
    return text;
}

std::string sha256(const std::vector<double>& values) {
    return sha256(std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)));
}

}  // namespace bnnp

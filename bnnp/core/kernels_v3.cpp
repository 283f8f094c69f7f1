// The kernels for x86-64-v3 (setup.py gives the flags).
#include "kernels.hpp"

#define BNNP_INSTRUCTION_SET v3
#include "kernels_all.inl"

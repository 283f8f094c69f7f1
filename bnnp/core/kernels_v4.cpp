// The kernels for x86-64-v4 (setup.py gives the flags).
#include "kernels.hpp"

#define BNNP_INSTRUCTION_SET v4
#include "kernels_all.inl"

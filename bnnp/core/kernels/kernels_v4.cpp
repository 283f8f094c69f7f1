// The kernels for x86-64-v4 (setup.py gives the flags).
#define BNNP_INSTRUCTION_SET v4
#include "kernels/kernels_all.inl"

// The kernels for x86-64-v3 (setup.py gives the flags).
#define BNNP_INSTRUCTION_SET v3
#include "kernels/kernels_all.inl"

// The kernels for x86-64-v2 (setup.py gives the flags; elsewhere than on x86-64 the only ones, for the plain machine).
#define BNNP_INSTRUCTION_SET v2
#include "kernels/kernels_all.inl"

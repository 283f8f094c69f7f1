// The kernels for x86-64-v3 (setup.py gives the flags).
#define BNNP_INSTRUCTION_SET v3
#include "kernels/kernels_all.inl"

const bnnp::Kernels bnnp::v3::kernels = all_kernels("x86-64-v3");

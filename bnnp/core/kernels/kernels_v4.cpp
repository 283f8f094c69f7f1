// The kernels for x86-64-v4 (setup.py gives the flags).
#define BNNP_INSTRUCTION_SET v4
#include "kernels/kernels_all.inl"

const bnnp::Kernels bnnp::v4::kernels = all_kernels("x86-64-v4");

// The kernels for x86-64-v2 (setup.py gives the flags); on other processors the only ones.
#define BNNP_INSTRUCTION_SET v2
#include "kernels/kernels_all.inl"

#if defined(__x86_64__)
const bnnp::Kernels bnnp::v2::kernels = all_kernels("x86-64-v2");
#else
const bnnp::Kernels bnnp::v2::kernels = all_kernels("generic");
#endif

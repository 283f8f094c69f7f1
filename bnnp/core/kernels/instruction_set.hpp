// The namespace of the kernels, one for each instruction set, so that the linker keeps the variants apart.
//
// kernels_v2.cpp ... kernels_v4.cpp name it and then include all *.inl; a file read alone is of v2.
#pragma once

#ifndef BNNP_INSTRUCTION_SET
#define BNNP_INSTRUCTION_SET v2
#endif

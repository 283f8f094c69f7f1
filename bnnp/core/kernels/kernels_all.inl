// All kernels of one instruction set.
#pragma once

#include "kernels/blocks.inl"
#include "kernels/forces.inl"
#include "kernels/networks.inl"
#include "kernels/search.inl"
#include "kernels/sweeps.inl"

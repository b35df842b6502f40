// What each instruction set's units give to the table.
#pragma once

#include "pennyweight/kernels.h"

namespace pennyweight::PW_TARGET {
void fill_linear(KernelTable& table);
void fill_attention(KernelTable& table);
void fill_elementwise(KernelTable& table);
void fill_encoder(KernelTable& table);
}  // namespace pennyweight::PW_TARGET

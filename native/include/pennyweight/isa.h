// Which instruction sets this binary holds, which of them this machine can run, and which one is in use.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pennyweight/kernels.h"

namespace pennyweight {

// Best first. A target is supported if the processor has it and the operating system saves its registers.
std::vector<std::string> compiled_targets();
std::vector<std::string> supported_targets();

// The table of a supported target; std::invalid_argument names the choices otherwise.
const KernelTable& kernels_of(const std::string& name);

// The table in use: PENNYWEIGHT_ISA if set (it fails loudly when unknown or unsupported), else the best supported.
const KernelTable& active_kernels();
void use_target(const std::string& name);

std::vector<std::pair<std::string, bool>> cpu_features();

}  // namespace pennyweight

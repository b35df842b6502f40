// Random adapters of tiny models, the same bits on every machine.
#pragma once

#include <span>

#include "check.h"
#include "pennyweight/adapter.h"

namespace pennyweight::test {

inline constexpr Role kAttentionRoles[] = {Role::kQuery, Role::kKey, Role::kValue, Role::kOutput};
inline constexpr Role kAllRoles[] = {Role::kQuery, Role::kKey, Role::kValue, Role::kOutput,
                                     Role::kGate,  Role::kUp,  Role::kDown};

// A random product of rank `rank` for a matrix of rows x columns, about a quarter of the matrix in size.
LowRankPointer random_low_rank(Random& random, int rows, int columns, int rank);

// Such products for `roles` in every layer.
AdapterPointer random_adapter(Random& random, const std::shared_ptr<const Model>& model, int rank,
                              std::span<const Role> roles);

}  // namespace pennyweight::test

#pragma once

#include <stdexcept>
#include <string>

namespace pennyweight {

// Throws std::invalid_argument with `message` unless `ok`.
inline void require(bool ok, const std::string& message) {
  if (!ok) throw std::invalid_argument(message);
}

}  // namespace pennyweight

// How many threads pay on this machine.
#pragma once

namespace pennyweight {

// Physical cores this process may use: affinity, cgroup CPU quota and SMT siblings considered; at least 1.
int useful_threads();

}  // namespace pennyweight

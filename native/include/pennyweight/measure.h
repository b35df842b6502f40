// What this machine can do at best: the bounds benchmarks are held against.
#pragma once

namespace pennyweight {

// Bytes per second of a streaming read that fits no cache.
double measure_bandwidth(int num_threads);
// Byte multiply-accumulates per second of the active target, registers only.
double measure_int8_peak(int num_threads);

}  // namespace pennyweight

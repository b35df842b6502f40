"""Side-by-side measurements; run from the repository's root as `python -m benchmarks.peers`."""

"""The parts of `benchmarks.compare`: both ways in turns, times and ratios, agreement, chart."""

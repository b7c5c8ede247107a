"""Features -> heads: datasets, splits, solvers, scores, and the files that heads are kept in."""

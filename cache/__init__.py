"""The feature store: digests, vectors and the columns of a dataset table."""

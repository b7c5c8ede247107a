"""Sources on other file systems: object stores, Hadoop, the web; by fsspec."""

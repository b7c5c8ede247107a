"""A float graph and pixels -> its int8 graph; knows no cache and no source."""

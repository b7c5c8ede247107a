"""A float graph and pixels -> one of the same outputs with fewer multiplications.

Knows no cache and no source.
"""

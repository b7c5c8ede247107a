"""The plumbing of every command: how it begins, speaks and ends. The store does not import it."""

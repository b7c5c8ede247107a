"""A source into a cache: the step, and who runs it."""

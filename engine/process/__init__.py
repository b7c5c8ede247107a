"""Around the work: child processes, Ctrl-C as a request, progress."""

"""Which network: architectures, requests, a model's identity, its store, its session."""

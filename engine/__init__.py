"""Images in, cached backbone features, a trained head out."""

"""What people hold in Python: features, heads and classifiers, with what a fit leaves on disk."""

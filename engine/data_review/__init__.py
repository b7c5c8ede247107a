"""What is wrong with the data, by the features: wrong labels, duplicates, conflicts, odd ones."""

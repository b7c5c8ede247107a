"""Where images come from: folders, archives and tables -> samples, and their bytes."""

"""Published test sets: one description of each, and the way from a folder on disk to its cells."""

"""Textures synthesised inside the training loop: a parallel search, with the same bytes on every device."""

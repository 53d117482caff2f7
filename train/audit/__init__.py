"""Audit of negatives: how easily they are told from images, and how much of the class they leak."""

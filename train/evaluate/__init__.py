"""Frozen encoders: probe, kNN, test sets, shape bias, similarity of negatives, with intervals."""

"""Frozen encoders: probe, kNN, test sets and analyses, with intervals."""

"""Kinds of non-semantic negatives, one file each."""

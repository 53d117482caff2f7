"""Analyses of frozen encoders, one file each."""

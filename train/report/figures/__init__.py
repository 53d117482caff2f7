"""Figures of the report itself, one a file."""

"""Finished texture runs as data sets for other libraries."""

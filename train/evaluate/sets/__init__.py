"""Kinds of test sets, one file each."""

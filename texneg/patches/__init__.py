"""Patch negatives: one plan, and executors that follow it to the byte."""

"""Textures made in the training step: one plan, and executors that follow it to the byte."""

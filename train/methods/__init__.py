"""Methods, one file each, and the list of them that everything else reads."""

from texneg.train.methods import byol, memory_bank, moco, simclr, simo, triplet
from texneg.train.methods.base import Config, Method

__all__ = ["METHODS", "Config", "Method"]

METHODS: list[type[Config]] = [
    moco.Config,
    byol.Config,
    simo.Config,
    simclr.Config,
    triplet.Config,
    memory_bank.Config,
]
"""Append the Config of a method here to train with it by its name."""

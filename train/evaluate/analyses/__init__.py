"""Analyses of frozen encoders, one file each, and the list of those that `texneg analyze` knows."""

from texneg.train.evaluate.analyses.base import Analysis
from texneg.train.evaluate.analyses.coarse import Coarse
from texneg.train.evaluate.analyses.neighbours import Neighbours
from texneg.train.evaluate.analyses.reliance import Reliance
from texneg.train.evaluate.analyses.semantics import Semantics
from texneg.train.evaluate.analyses.similarity import Similarity
from texneg.train.evaluate.analyses.uniformity import Uniformity

ANALYSES: list[type[Analysis]] = [Similarity, Uniformity, Semantics, Reliance, Coarse, Neighbours]
"""Append a class of your own: its command line and its section of a report are then there."""

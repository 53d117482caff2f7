"""Kinds of test sets, one file each, and the list of those that `texneg ood` knows."""

from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.evaluate.sets.base import SetKind
from texneg.train.evaluate.sets.corruptions import Corruptions
from texneg.train.evaluate.sets.cues import Cues
from texneg.train.evaluate.sets.shape_bias import ShapeBias

KINDS: list[type[SetKind]] = [Accuracy, ShapeBias, Cues, Corruptions]
"""Append a class of your own: its flags, its measurements and its rows of a report are then there."""

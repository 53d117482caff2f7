"""Accuracy of the answers that a head would have given among fewer classes.

A head that chooses among some of its classes takes the one of them with the highest score. So for each image
the classes in the order of their scores, as far as the last right one, tell its answer among any classes
that hold a right one: the first of them in that order. Nothing is approximated.

Shapes: N images, L classes ranked in all.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Restricted(NamedTuple):
    """Answers among some classes."""

    right: npt.NDArray[np.bool_]
    """(n,) of the images that have a right class among them"""
    places: npt.NDArray[np.int64]
    """(n,) of these images among the N"""


def restrict_answers(
    ranking: npt.NDArray[np.integer],
    ranking_right: npt.NDArray[np.bool_],
    ranked: npt.NDArray[np.integer],
    choices: Sequence[int],
    groups: Mapping[int, int] | None = None,
) -> Restricted:
    """Answer among some classes of a head.

    Args:
        ranking: (L,) classes by score, image after image, as far as the last right one.
        ranking_right: (L,) these are right.
        ranked: (N,) number of them of each image.
        choices: the classes to choose among.
        groups: classes that are as good as each other, by a number for each; None where each stands alone.
    """
    size = int(max([*ranking.tolist(), *choices], default=0)) + 1
    group = np.arange(size)
    for place, number in (groups or {}).items():
        group[place] = size + number
    allowed = np.zeros(size, bool)
    allowed[list(choices)] = True
    image = np.repeat(np.arange(len(ranked)), ranked)
    kept = allowed[ranking]
    image, places, right = image[kept], ranking[kept], ranking_right[kept]
    counts = np.unique(image[right])
    owners, firsts = np.unique(image, return_index=True)
    answered = np.isin(owners, counts)
    owners, firsts = owners[answered], firsts[answered]
    chosen = group[places[firsts]]
    good = np.zeros(len(ranked), bool)
    of_answer = np.full(len(ranked), -1)
    of_answer[owners] = chosen
    good[image[right & (group[places] == of_answer[image])]] = True
    return Restricted(good[owners], owners.astype(np.int64))

"""Distances between the classes of ImageNet in WordNet 3.0, whose hypernym links come with texneg.

A synset is named by its WordNet id, such as n02084071 (dog). The links form a graph with one root, not a
tree: 75 synsets have several parents.
"""

import csv
from functools import cache
from pathlib import Path

from texneg.errors import InputError

HERE = Path(__file__).parent
ROOT = "n00001740"  # entity


@cache
def read_parents() -> dict[str, tuple[str, ...]]:
    """Read the parents of every synset."""
    parents: dict[str, tuple[str, ...]] = {ROOT: ()}
    for row in csv.DictReader((HERE / "hypernyms.csv").read_text("utf-8").splitlines()):
        parents[row["wnid"]] = (*parents.get(row["wnid"], ()), row["parent_wnid"])
    return parents


@cache
def read_names() -> dict[str, str]:
    """Read the first lemma of every synset."""
    rows = csv.DictReader((HERE / "names.csv").read_text("utf-8").splitlines())
    return {row["wnid"]: row["name"].replace("_", " ") for row in rows}


def find_synset(text: str) -> str:
    """Find the synset of a WordNet id or of a name that only one synset has.

    Raises:
        InputError: there is none above or among the classes of ImageNet, or several.
    """
    if text in read_parents():
        return text
    wanted = text.replace("_", " ").casefold()
    found = [wnid for wnid, name in read_names().items() if name.casefold() == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{text!r} is the name of {' and '.join(found)}; give one of these WordNet ids")
    raise InputError(
        f"{text!r} is no WordNet id or name among the classes of ImageNet and what is above them; give one"
        " such as n02084071 or dog"
    )


@cache
def climb(wnid: str) -> dict[str, int]:
    """Find everything above a synset, itself included, with the fewest links to it."""
    steps, level, distance = {wnid: 0}, [wnid], 0
    while level:
        distance += 1
        level = list(dict.fromkeys(p for one in level for p in read_parents()[one] if p not in steps))
        steps |= dict.fromkeys(level, distance)
    return steps


@cache
def find_depth(wnid: str) -> int:
    """Find the number of synsets on the longest way from the root to a synset, both included."""
    return 1 + max((find_depth(parent) for parent in read_parents()[wnid]), default=0)


def path_similarity(a: str, b: str) -> float:
    """1 / (1 + links on the shortest way between two synsets through one above both)."""
    up, other = climb(a), climb(b)
    return 1 / (1 + min(up[one] + other[one] for one in up.keys() & other.keys()))


def wu_palmer(a: str, b: str) -> float:
    """2 D / (D_a + D_b) by the deepest synset above both (Wu and Palmer, ACL 1994).

    D is its depth, D_a and D_b are D and the links down to either; of several as deep, the nearest counts.
    """
    up, other = climb(a), climb(b)
    shared = up.keys() & other.keys()
    deepest = max(map(find_depth, shared))
    return max(
        2 * deepest / (2 * deepest + up[one] + other[one]) for one in shared if find_depth(one) == deepest
    )

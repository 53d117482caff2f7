"""Distances in WordNet beside a search over all ways, and some that are known."""

import random
from itertools import pairwise

import pytest

from texneg.datasets.class_maps import read_class_map
from texneg.datasets.wordnet.wordnet import (
    HERE,
    ROOT,
    climb,
    find_depth,
    find_synset,
    path_similarity,
    read_names,
    read_parents,
    wu_palmer,
)
from texneg.errors import InputError


def ways_up(wnid):
    """Every way from a synset to the root."""
    parents = read_parents()[wnid]
    return [[wnid, *way] for parent in parents for way in ways_up(parent)] if parents else [[wnid]]


def test_the_graph():
    parents = read_parents()
    assert len(parents) == len(read_names()) == 1860
    assert sum(map(len, parents.values())) == 1937
    assert [wnid for wnid, above in parents.items() if not above] == [ROOT]
    assert sum(len(above) > 1 for above in parents.values()) == 75
    imagenet = list(read_class_map("imagenet").folders)
    assert len(imagenet) == 1000 and set(imagenet) <= parents.keys()
    assert "Princeton University" in (HERE / "LICENSE").read_text("utf-8")


def test_against_all_ways():
    wnids = random.Random(0).sample(list(read_class_map("imagenet").folders), 60)
    for a, b in pairwise(wnids):
        ways, others = ways_up(a), ways_up(b)
        shared = {one for way in ways for one in way} & {one for way in others for one in way}

        def links(tops, top):
            return min(way.index(top) for way in tops if top in way)

        shortest = min(links(ways, top) + links(others, top) for top in shared)
        assert path_similarity(a, b) == path_similarity(b, a) == 1 / (1 + shortest)
        depths = {top: max(map(len, ways_up(top))) for top in shared}
        deepest = max(depths.values())
        expected = max(
            2 * deepest / (2 * deepest + links(ways, top) + links(others, top))
            for top, depth in depths.items()
            if depth == deepest
        )
        assert wu_palmer(a, b) == pytest.approx(expected)
        assert find_depth(a) == max(map(len, ways))


def test_known_distances():
    dalmatian, pug, car = "n02110341", "n02110958", "n02930766"
    assert path_similarity(pug, pug) == wu_palmer(pug, pug) == 1
    assert climb(pug)[find_synset("dog")] == 1
    assert path_similarity(dalmatian, pug) == 1 / 3
    assert wu_palmer(dalmatian, pug) > wu_palmer(dalmatian, car)
    below = [wnid for wnid in read_class_map("imagenet").folders if "n02084071" in climb(wnid)]
    assert len(below) == 118


def test_what_is_no_synset_is_one_line():
    assert find_synset("n02084071") == find_synset("Dog") == "n02084071"
    with pytest.raises(InputError, match=r"^'n99999999' is no WordNet id or name among .* n02084071 or dog$"):
        find_synset("n99999999")
    with pytest.raises(InputError, match=r"'crane' is the name of n\d+ and n\d+; give one"):
        find_synset("crane")

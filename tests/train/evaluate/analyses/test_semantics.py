"""Ranks, similarities and the binomial null beside plain counting, and on embeddings that are known."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from texneg.datasets.wordnet.wordnet import path_similarity
from texneg.errors import InputError
from texneg.train.evaluate import analyze
from texneg.train.evaluate.analyses.semantics import (
    EDGES,
    Semantics,
    _below,
    count_hard,
    describe_ranges,
    rank_others,
)
from texneg.train.evaluate.figures import Look, to_svg

DOGS_AND_CAR = ("n02110341", "n02110958", "n02930766")


def test_ranks_leave_the_image_itself_out():
    draw = np.random.default_rng(0)
    whole = draw.random((9, 9)).astype(np.float32)
    cosines = whole[~np.eye(9, dtype=bool)].reshape(9, 8)
    for i, row in enumerate(rank_others(cosines)):
        expected = sorted((j for j in range(9) if j != i), key=lambda j, i=i: -whole[i, j])
        assert row.tolist() == expected


def test_ranges_against_counting():
    draw = np.random.default_rng(1)
    n = 60
    labels = draw.integers(0, 3, n)
    order = rank_others(draw.random((n, n - 1)).astype(np.float32))
    found = describe_ranges(order, labels, DOGS_AND_CAR)
    for i, (low, high) in enumerate(pairwise(EDGES)):
        ranks = [r for r in range(n - 1) if low <= 100 * (r + 0.5) / (n - 1) < high]
        pairs = [(labels[q], labels[order[q, r]]) for q in range(n) for r in ranks]
        other = [path_similarity(DOGS_AND_CAR[a], DOGS_AND_CAR[b]) for a, b in pairs if a != b]
        assert found["same"]["pairs"][i] == len(pairs)
        if pairs:
            assert found["same"]["means"][i] == pytest.approx(np.mean([a == b for a, b in pairs]))
            assert found["path"]["means"][i] == pytest.approx(np.mean(other))
        else:
            assert found["same"]["means"][i] is None
    assert set(describe_ranges(order, labels, ("a", "b", "c"))) == {"same"}


def test_near_classes_are_found_hard():
    """Embeddings by WordNet: pug and dalmatian side by side, the car elsewhere."""
    labels = np.repeat([0, 1, 2], 20)
    places = np.array([0.0, 1.0, 5.0])[labels] + np.random.default_rng(0).random(60) / 10
    cosines = -np.abs(places[:, None] - places)
    order = rank_others(cosines[~np.eye(60, dtype=bool)].reshape(60, 59).astype(np.float32))
    found = describe_ranges(order, labels, DOGS_AND_CAR)
    assert found["same"]["means"][5] == 1 and found["same"]["means"][-2] == 0
    assert found["wu_palmer"]["means"][7] > found["wu_palmer"]["means"][-2]


def test_consistency_of_chance_and_of_hubs():
    draw = np.random.default_rng(0)
    by_chance = count_hard(rank_others(draw.random((400, 399)).astype(np.float32)), 5)
    assert by_chance["spread"] == pytest.approx(1, abs=0.25) and by_chance["hard"] == 20
    assert sum(by_chance["counts"]) == 400
    assert sum(by_chance["expected"]) == pytest.approx(400, abs=1)
    hubs = np.tile(np.linspace(0, 1, 400, dtype=np.float32), (400, 1))
    same = count_hard(rank_others(hubs[~np.eye(400, dtype=bool)].reshape(400, 399)), 5)
    assert same["spread"] > 100 and same["never"] > 0.9


def test_the_binomial_null_is_exact():
    for trials, share in ((12, 0.3), (40, 0.05), (3, 1.0)):
        for end in range(trials + 2):
            exact = sum(
                math.comb(trials, k) * share**k * (1 - share) ** (trials - k)
                for k in range(min(end, trials + 1))
            )
            assert _below(end, trials, share) == pytest.approx(exact, abs=1e-12)


def test_the_command(encoder, colours, tmp_path, monkeypatch):
    monkeypatch.setattr(analyze, "open_encoder", lambda *_: encoder)
    data = colours("set", per_class=8)
    analyze.analyze(Semantics("encoder", str(data), str(tmp_path)))
    found = json.loads((tmp_path / "semantics.json").read_text())
    numbers = Semantics.numbers(found)
    assert numbers["Share of the query's class, all"] == pytest.approx(7 / 23)
    assert any("needs class folders named by WordNet id" in line for line in Semantics.summary(found))
    assert "hard for" in to_svg("semantics", lambda: Semantics.figure([(Look("one", 0), [found])]))
    with pytest.raises(InputError, match=r"one class folder|no class folders"):
        analyze.analyze(Semantics("encoder", str(data / "red"), str(tmp_path)))
    with pytest.raises(InputError, match="--hardest 0"):
        analyze.analyze(Semantics("encoder", str(data), str(tmp_path), hardest=0))

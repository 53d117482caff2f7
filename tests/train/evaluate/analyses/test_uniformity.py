"""Uniformity and tolerance beside plain float64, and on points where they are known."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.train.evaluate import analyze
from texneg.train.evaluate.analyses.uniformity import Uniformity, compare_others, summarise
from texneg.train.evaluate.figures import Look, to_svg


def unit(n, d, seed):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_against_plain_float64():
    query, key = unit(23, 6, 0), unit(23, 6, 1)
    labels = torch.arange(23) % 4
    labels[20:] = -1
    found = summarise(query, key, labels, temperatures=(0.5, 0.07), t=2.0)
    q, k, c = query.double().numpy(), key.double().numpy(), labels.numpy()
    apart = ((q[:, None] - q) ** 2).sum(2)
    off = ~np.eye(23, dtype=bool)
    assert found["uniformity"] == pytest.approx(-math.log(np.exp(-2 * apart[off]).mean()), rel=1e-5)
    same = off & (c[:, None] == c) & (c >= 0)
    assert found["tolerance"] == pytest.approx((q @ q.T)[same].mean(), abs=1e-6)
    others = (q @ k.T)[off].reshape(23, 22)
    np.testing.assert_allclose(compare_others(query, key), others, atol=1e-6)
    assert found["positive"] == pytest.approx((q * k).sum(1).mean(), abs=1e-6)
    assert found["nearest"] == pytest.approx(np.sort(others, axis=1)[:, -10:].mean(), abs=1e-6)
    assert found["temperatures"] == [0.07, 0.5]
    for at, share in zip(found["temperatures"], found["penalised"], strict=True):
        p = np.exp(others / at)
        p /= p.sum(1, keepdims=True)
        assert share == pytest.approx(math.exp(-(p * np.log(p)).sum(1).mean()) / 22, rel=1e-4)
    assert found["penalised"][0] < found["penalised"][1] < 1


def test_known_points():
    """All at one place: uniformity 0, tolerance 1, and every other image shares the penalty."""
    query = torch.tensor([[1.0, 0.0]]).expand(8, 2)
    found = summarise(query, query, torch.zeros(8, dtype=torch.long), temperatures=(0.1,), t=2.0)
    assert found["uniformity"] == pytest.approx(0, abs=1e-6) and found["tolerance"] == pytest.approx(1)
    assert found["penalised"] == pytest.approx([1])
    apart = summarise(query, query, torch.arange(8), temperatures=(0.1,), t=2.0)
    assert apart["tolerance"] is None


def test_the_command(encoder, colours, tmp_path, monkeypatch):
    monkeypatch.setattr(analyze, "open_encoder", lambda *_: encoder)
    data, found = colours("set", per_class=5), []
    for name, images in (("labelled", data), ("flat", data / "red")):
        out = tmp_path / name
        out.mkdir()
        analyze.analyze(Uniformity("encoder", str(images), str(out)))
        found.append(json.loads((out / "uniformity.json").read_text()))
    assert "tolerance (mean cosine within a class)" in Uniformity.numbers(found[0])
    assert "give images in class folders" in Uniformity.summary(found[1])[-1]
    arms = [(Look("one", 0), found[:1]), (Look("two", 1), [{**found[1], "trained_at": 0.2}])]
    assert "tolerance" in to_svg("uniformity", lambda: Uniformity.figure(arms))
    for wrong in ({"t": 0.0}, {"temperatures": (0.1, -1.0)}):
        with pytest.raises(InputError, match="above 0"):
            analyze.analyze(Uniformity("encoder", str(data), str(tmp_path), **wrong))

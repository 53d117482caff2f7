"""Neighbours beside plain sorting, and the sheet that shows them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.train.evaluate import analyze
from texneg.train.evaluate.analyses import neighbours
from texneg.train.evaluate.analyses.neighbours import RIGHT, SHEET, WRONG, Neighbours, find_nearest
from texneg.train.evaluate.figures import Look, to_svg


def test_against_sorting(monkeypatch):
    monkeypatch.setattr(neighbours, "ROWS", 7)
    vectors = F.normalize(torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    places, cosines = find_nearest(vectors, 5)
    plain = (vectors.double() @ vectors.double().T).numpy()
    for i in range(30):
        expected = sorted((j for j in range(30) if j != i), key=lambda j, i=i: -plain[i, j])[:5]
        assert places[i].tolist() == expected
        np.testing.assert_allclose(cosines[i], plain[i, expected], atol=1e-6)
    assert find_nearest(vectors[:3], 5)[0].shape == (3, 2)


def test_the_command_and_its_sheet(encoder, colours, tmp_path, monkeypatch):
    monkeypatch.setattr(analyze, "open_encoder", lambda *_: encoder)
    monkeypatch.setattr(type(encoder), "embed", lambda self, x: F.normalize(x.mean((2, 3)), dim=1))
    data = colours("set", per_class=5)
    analyze.analyze(Neighbours("encoder", str(data), str(tmp_path), queries=3, k=6, side=32))
    found = json.loads((tmp_path / "neighbours.json").read_text())
    assert found["same"][:4] == [1, 1, 1, 1] and found["same"][4:] == [0, 0]  # four others of a class
    numbers = Neighbours.numbers(found)
    assert numbers["6 nearest images of the same class, share"] == pytest.approx(4 / 6)
    with Image.open(tmp_path / SHEET) as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (3 * (32 + 20 + 18), 7 * (32 + 20), 3)
    assert (sheet[6 + 5, 52 + 6 + 1] == RIGHT).all() and (sheet[6 + 5, 5 * 52 + 6 + 1] == WRONG).all()
    assert "rank of the neighbour" in to_svg("n", lambda: Neighbours.figure([(Look("one", 0), [found])]))
    assert Neighbours.figure([(Look("one", 0), [{**found, "same": None}])]) is None
    with pytest.raises(InputError, match=r"--k 0 .*: allowed are 1 or more, and 32 to 512 px"):
        analyze.analyze(Neighbours("encoder", str(data), str(tmp_path), k=0))

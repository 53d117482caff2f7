"""Fine and coarse accuracy of encoders that tell breeds, or only dogs, from others."""

import json

import numpy as np
import pytest
from PIL import Image

from texneg.errors import InputError
from texneg.train.evaluate import analyze
from texneg.train.evaluate.analyses.coarse import Coarse
from texneg.train.evaluate.figures import Look, to_svg

COLOURS = {  # pug, dalmatian and a car: the dogs are red, and tell each other by green
    "n02110958": (200, 60, 40),
    "n02110341": (200, 140, 40),
    "n02930766": (40, 100, 40),
    "n02123045": (40, 180, 40),
}


@pytest.fixture
def measure(encoder, tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 8)):
        for name, colour in COLOURS.items():
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.array(colour) + draw.normal(0, 5, (16, 16, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{name}_{i}.png")
    monkeypatch.setattr(analyze, "open_encoder", lambda *_: encoder)

    def run(features, **options):
        monkeypatch.setattr(type(encoder), "forward", lambda self, images: features(images))
        out = tmp_path / "run"
        out.mkdir(exist_ok=True)
        (out / "analysis-head.pt").unlink(missing_ok=True)
        analyze.analyze(Coarse("encoder", str(tmp_path / "data"), str(out), **options))
        return json.loads((out / "coarse.json").read_text())

    return run


def test_red_tells_dogs_and_no_breeds(measure):
    found = measure(lambda images: images.mean((2, 3))[:, :1])["parts"]["n02084071"]
    assert (found["classes"], found["chance"], found["fine"]["n"]) == (2, 0.5, 16)
    assert found["coarse"]["accuracy"] == found["inside"]["accuracy"] == 1
    assert found["fine"]["accuracy"] < 0.9
    both = measure(lambda images: images.mean((2, 3)), subtrees=("dog", "n00015388"))
    assert both["parts"]["n02084071"]["fine"]["accuracy"] == 1
    assert both["parts"]["n00015388"]["classes"] == 3  # animals: the cat, too
    numbers = Coarse.numbers(both)
    assert numbers["right class within dog"] == 1 and "told from all others animal" in numbers
    svg = to_svg("coarse", lambda: Coarse.figure([(Look("one", 0), [both])]))
    assert "taken for any of dog" in svg
    assert any("images of 2 classes below dog (n02084071)" in line for line in Coarse.summary(both))


def test_a_part_without_classes_is_one_line(measure):
    with pytest.raises(InputError, match=r"^--subtrees cat \(n02121620\): 1 of the tested classes lie"):
        measure(lambda images: images.mean((2, 3)), subtrees=("n02121620",))
    with pytest.raises(InputError, match="'n00000001' is no WordNet id"):
        measure(lambda images: images.mean((2, 3)), subtrees=("n00000001",))

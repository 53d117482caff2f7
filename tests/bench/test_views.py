"""The benchmarks of views and loading, tiny: their rows, limits and rival; never their speed."""

import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from texneg.bench import loader, views
from texneg.bench.common.ratios import one_thread
from texneg.datasets.decode import decode
from texneg.errors import InputError, RunFailed
from texneg.train.data.augmentations import MocoV2


@pytest.fixture
def few(monkeypatch):
    """Three generated photographs."""
    monkeypatch.setattr(views, "PHOTOS", 3)
    return views.read_files(None)


def test_every_limit_has_a_row(few):
    with one_thread(), loader.caches(few) as (images, raw, jpeg):
        loader.check_bytes(few, images, raw)
        rows = loader.measure(few, raw, jpeg, rounds=1)
        with pytest.raises(RunFailed, match="other pixels than Pillow's"):
            loader.check_bytes(few, images, jpeg)
    assert all(gate.value(rows) is not None for gate in loader.GATES)
    case = "32 px, wang_liu"
    with one_thread():
        rows = views.measure(case, [decode(data).pixels for data in few], rounds=1)
    assert all(gate.value(rows) is not None for gate in views.GATES if gate.case == case)


def test_views_that_differ_are_not_timed(few, monkeypatch):
    monkeypatch.setattr(views, "LEVELS", 0.0)
    with pytest.raises(RunFailed, match=r"views differ by .* so their speed means nothing"):
        views.check_levels("a case", [decode(few[0]).pixels], MocoV2(32))


def test_both_sides_normalise_alike():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    ours = loader.normalise(pixels[None])[0]
    *_, to_tensor, to_normal = loader.official_transform().transforms
    torch.testing.assert_close(ours, to_normal(to_tensor(Image.fromarray(pixels))))


def test_too_few_photographs_are_told(tmp_path):
    (tmp_path / "1.jpg").write_bytes(views.generate_photo(0))
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(tmp_path / "1.jpg", "1.jpg")
    with pytest.raises(InputError, match="holds 1 photographs: 32 are needed"):
        views.read_files(tmp_path / "photos.tar")

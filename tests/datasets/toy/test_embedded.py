"""The embedded data set: reproducible, complete, and with the shortcut where it says, and only there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from texneg.datasets.images import open_images
from texneg.datasets.toy.embedded import (
    CLASSES,
    CORRELATION,
    DARKEST_GROUND,
    LIGHTEST_FIGURE,
    TEST_SETS,
    TEXTURES,
    EmbeddedConfig,
    draw_family,
    embedded_image,
    write_embedded,
)
from texneg.datasets.toy.shapes import SHAPES, draw, fill, transform
from texneg.errors import InputError
from texneg.philox.arrays import generator

SMALL = EmbeddedConfig(train_per_class=3, biased_per_class=3, test_per_class=2, size=32)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("embedded")
    write_embedded(root, SMALL)
    return root


def test_every_set_has_every_class(root: Path) -> None:
    assert open_images(str(root / "train")).classes == CLASSES
    assert len(open_images(str(root / "train"))) == 3 * len(CLASSES)
    assert {folder.name for folder in (root / "test").iterdir()} == set(TEST_SETS)
    for name in TEST_SETS:
        images = open_images(str(root / "test" / name))
        assert images.classes == CLASSES
        assert np.bincount(images.labels).tolist() == [2] * len(CLASSES)


def test_the_seed_decides_the_bytes(root: Path, tmp_path: Path) -> None:
    write_embedded(tmp_path / "again", SMALL)
    files = sorted(p.relative_to(root) for p in root.rglob("*.png"))
    assert files == sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*.png"))
    assert all((root / f).read_bytes() == (tmp_path / "again" / f).read_bytes() for f in files)
    one, other = (embedded_image("train", 0, 0, size=32, seed=s)[0] for s in (0, 1))
    assert (one != other).any()


def test_other_settings_are_refused(root: Path) -> None:
    write_embedded(root, SMALL)
    with pytest.raises(InputError, match="other settings; remove it"):
        write_embedded(root, replace(SMALL, seed=1))


def test_cue_conflict_names_another_class(root: Path) -> None:
    for path in (root / "test" / "cue-conflict").rglob("*.png"):
        shape, texture = (part.rstrip("0123456789") for part in path.stem.split("-"))
        assert shape == path.parent.name
        assert texture in CLASSES
        assert texture != shape


@pytest.mark.parametrize(("name", "share"), [("train", 1 / 8), ("same", 1 / 8), ("biased", CORRELATION)])
def test_texture_tells_the_class_as_often_as_stated(name: str, share: float) -> None:
    rng = generator(5)
    own = np.mean([draw_family(name, 3, rng)[1] == 3 for _ in range(2000)])
    assert abs(own - share) < 4 * np.sqrt(share * (1 - share) / 2000)


@pytest.mark.parametrize(("name", "again"), [("train", "train"), ("test/same", "test")])
def test_the_same_images_are_there_by_shape_and_by_texture(root: Path, name: str, again: str) -> None:
    by_shape, by_texture = (
        {path.name: path.read_bytes() for path in (root / folder).rglob("*.png")}
        for folder in (name, f"by-texture/{again}")
    )
    assert by_shape == by_texture
    assert {path.parent.name for path in (root / "by-texture" / again).rglob("*.png")} <= set(TEXTURES)


@pytest.mark.parametrize("name", ["train", "new-textures", "cue-conflict", "biased"])
def test_a_figure_is_darker_than_its_ground(name: str) -> None:
    image, _ = embedded_image(name, 2, 0, size=64, seed=0)  # a disc near the centre
    corners, centre = image[[0, 0, -1, -1], [0, -1, 0, -1]], image[29:35, 29:35]
    assert corners.min() > 255 * DARKEST_GROUND - 1
    assert centre.max() < 255 * LIGHTEST_FIGURE + 1


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_shapes_are_inside_the_image_and_distinct(shape: str) -> None:
    outlines = transform(SHAPES[shape](), angle=0.3, scale=0.4, shift=(0.5, 0.5))
    mask, line = fill(outlines, 64), draw(outlines, 64, width=1.5)
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    assert 0.05 < mask.mean() < 0.5
    assert 0 < line.mean() < mask.mean()
    others = [transform(SHAPES[s](), angle=0.3, scale=0.4, shift=(0.5, 0.5)) for s in SHAPES if s != shape]
    assert all(np.abs(mask - fill(other, 64)).mean() > 0.02 for other in others)

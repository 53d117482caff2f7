"""Training from what `texneg synth` wrote: folders or tars of textures, or tars of image and texture."""

import json
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from texneg.errors import InputError
from texneg.synth.synth import SynthConfig, synth
from texneg.train.assemble import make_batches
from texneg.train.config import PretrainConfig
from texneg.train.data.splits import open_textures, open_train
from texneg.train.data.workers import load
from texneg.train.evaluate.analyses.similarity import read_textures
from texneg.train.flags import change
from texneg.train.pretrain import run_pretraining
from texneg.train.sheet.sheet import SheetConfig, sheet

CLASSES, PER_CLASS = ("ant", "bee", "cow"), 7
PLACES = {
    "folders of folders": ("photos", "textures"),
    "tars of folders": ("photos", "texture-tars"),
    "folders of tars": ("photo-tars", "textures"),
    "tars of tars": ("photo-tars", "texture-tars"),
    "pairs for folders": ("photos", "paired"),
    "pairs": ("paired", ""),
    "pairs named twice": ("paired", "paired"),
}


def write_photos(folder, classes, *, first=0):
    draw = np.random.default_rng(first)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(first, first + PER_CLASS):
            pixels = draw.integers(0, 256, (4, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((40, 32)).save(folder / name / f"{name}.{i}.png")


def textures_of(src, dst, **options):
    made = SynthConfig.flat(str(src), str(dst), size=32, exemplar_size=16, executor="sync", **options)
    assert synth(made) == 0


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Photographs as class folders and as tars; their textures as folders, as tars, and beside them."""
    root = tmp_path_factory.mktemp("pairs")
    write_photos(root / "photos", CLASSES)
    (root / "photo-tars").mkdir()
    with tarfile.open(root / "photo-tars" / "0.tar", "w") as tar:
        for path in sorted((root / "photos").rglob("*.png")):
            key = f"{path.parent.name}/{path.stem.replace('.', '%2E')}.png"
            tar.add(path, key)
    textures_of(root / "photos", root / "textures")
    textures_of(root / "photos", root / "texture-tars", format="webdataset", shard_size=8)
    textures_of(root / "photos", root / "paired", layout="paired", shard_size=8)
    return root


def config(root, place, **changes):
    data, textures = PLACES[place]
    return change(
        PretrainConfig(),
        data=str(root / data),
        textures=str(root / textures) if textures else "",
        negatives="texture",
        arch="resnet10t",
        stem="stride1",
        width=8,
        dim=8,
        image_size=16,
        blur=0.0,
        batch=4,
        queue=8,
        bn_group=2,
        epochs=2,
        device="cpu",
        log_every=1,
        checkpoint_every=100,
        **changes,
    )


def opened(c):
    images = open_train(c.run.data)
    return images, open_textures(c.run.textures, images, c.run.data)


@pytest.fixture(scope="module")
def expected(root):
    """Batches of a run on folders."""
    c = config(root, "folders of folders")
    return [make_batches(c, *opened(c), print).make(step) for step in range(7)]


@pytest.mark.parametrize("place", PLACES)
def test_folders_and_tars_give_the_same_batches_from_any_worker(root, place, expected):
    c = config(root, place)
    images, textures = opened(c)
    assert images.classes == CLASSES
    batches = make_batches(c, images, textures, print)
    assert batches.steps_per_epoch == 5
    for workers in (0, 2):
        for mine, theirs in zip(load(batches, range(7), workers=workers, pin=False), expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine[:4], theirs[:4], strict=True))


def test_a_run_on_pairs_is_the_run_on_folders_and_goes_on_where_it_stopped(root, tmp_path):
    def lines(folder):
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        times = "seconds", "images_per_second", "data_wait"
        return [{name: value for name, value in row.items() if name not in times} for row in rows]

    folders = config(root, "folders of folders", out=str(tmp_path / "folders"))
    pairs = config(root, "pairs", out=str(tmp_path / "pairs"), stop_after=6)
    whole = run_pretraining(folders, log=str)
    part = run_pretraining(pairs, log=str)
    assert not (part / "encoder.pt").exists()
    run_pretraining(change(pairs, workers=1), log=str)
    assert len(lines(whole)) >= 10
    assert lines(part) == lines(whole)


def test_the_textures_beside_the_images_are_what_others_take(root, tmp_path):
    images, beside = opened(config(root, "pairs"))
    _, apart = opened(config(root, "folders of folders"))
    index = np.array([0, 20])
    for i in index.tolist():
        one, two = (read_textures(images, textures, index)(i) for textures in (beside, apart))
        np.testing.assert_array_equal(one, two)
    for name, src, textures in (("beside", "paired", None), ("apart", "photos", "textures")):
        out, where = str(tmp_path / f"{name}.png"), textures and str(root / textures)
        shown = SheetConfig(str(root / src), out, kinds=("texture",), textures=where, size=32, count=3)
        assert sheet(shown) == 0
    assert (tmp_path / "beside.png").read_bytes() == (tmp_path / "apart.png").read_bytes()


@pytest.mark.parametrize("data", ["photos", "photo-tars", "texture-tars"])
def test_images_without_textures_are_told_the_ways_to_them(root, tmp_path, data):
    alone = change(config(root, "pairs", out=str(tmp_path / "run")), data=str(root / data))
    with pytest.raises(InputError, match=r"name them by --textures .* synth --layout paired"):
        run_pretraining(alone, log=str)
    with pytest.raises(InputError, match="are the images: name what texneg synth wrote"):
        run_pretraining(change(alone, textures=alone.run.data), log=str)


def test_a_class_is_the_same_in_splits_with_other_classes(root, tmp_path):
    """Their `.cls` numbers differ; the class folders in their keys do not."""
    write_photos(tmp_path / "val", CLASSES[1:], first=PER_CLASS)
    textures_of(tmp_path / "val", tmp_path / "paired-val", layout="paired")
    with tarfile.open(tmp_path / "paired-val" / "texneg-000000.tar") as tar:
        assert tar.extractfile("bee/bee%2E7.cls").read() == b"0"
    train, val = open_train(str(root / "paired")), open_train(str(tmp_path / "paired-val"))
    assert train.classes == CLASSES
    assert val.classes == CLASSES[1:]
    for images in (train, val):
        assert [images.classes[n] for n in images.labels] == [key.partition("/")[0] for key in images.keys]


def test_images_without_a_texture_are_named_or_left_out(root, tmp_path):
    folder = tmp_path / "textures"
    shutil.copytree(root / "textures", folder)
    gone = sorted(path for path in folder.rglob("*.*") if path.is_file())[:2]
    for path in gone:
        path.unlink()
    c = change(config(root, "folders of folders", out=str(tmp_path / "run")), textures=str(folder))
    images, _ = opened(c)
    with pytest.raises(InputError, match=f"2 of {len(images)} images .* have no texture .*first: "):
        run_pretraining(c, log=str)
    assert not (tmp_path / "run").exists()
    said = []
    run_pretraining(change(c, skip_untextured=True, stop_after=2), log=said.append)
    assert f"warning: 2 images of {len(images)} without texture left out" in " ".join(said)
    for path in gone:  # back again: other images than those of the run
        shutil.copy(root / "textures" / path.relative_to(folder), path)
    with pytest.raises(InputError, match="holds other images"):
        run_pretraining(change(c, skip_untextured=True), log=str)

"""`--layout paired`: image, class and texture under one key, for webdataset and for texneg."""

import gc
import shutil
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from texneg.datasets.images import open_images
from texneg.datasets.pairs import open_pairs
from texneg.errors import InputError
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.verify import VerifyConfig, verify

Run = Callable[..., Path]
State = Callable[[Path], Any]


def test_the_webdataset_reader_sees_image_class_and_texture(photos: Path, run: Run) -> None:
    reader = pytest.importorskip("webdataset.tariterators")
    autodecode = pytest.importorskip("webdataset.autodecode")
    decoder = autodecode.Decoder([autodecode.imagehandler("rgb8")])
    images, textures = open_images(photos), open_images(run(photos, "alone"))
    dst = run(photos, "paired", layout="paired", shard_size=10)
    raw = []
    for path in sorted(dst.glob("*.tar")):
        with path.open("rb") as stream:
            raw += reader.group_by_keys(reader.tar_file_expander([{"url": path.name, "stream": stream}]))
    assert [sample["jpeg"] for sample in raw] == [images.read(i) for i in range(24)]
    assert [sample["texture.webp"] for sample in raw] == [textures.read(i) for i in range(24)]
    for i, sample in enumerate(map(decoder, raw)):
        assert sample["cls"] == images.labels[i]
        assert sample["jpeg"].shape == images[i][0].shape
        np.testing.assert_array_equal(sample["texture.webp"], textures[i][0])


def test_a_webdataset_pipeline_reads_textures_and_pairs(photos: Path, run: Run) -> None:
    webdataset = pytest.importorskip("webdataset")
    columns = {"textures": ("webp",), "paired": ("jpg;jpeg", "cls", "texture.webp")}
    for layout, wanted in columns.items():
        dst = run(photos, layout, layout=layout, format="webdataset", shard_size=10)
        tars = [str(path) for path in sorted(dst.glob("*.tar"))]
        with warnings.catch_warnings():  # the library leaves its tars open
            warnings.simplefilter("ignore", ResourceWarning)
            samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8").to_tuple(*wanted))
            gc.collect()
        assert len(samples) == 24
        assert all(sample[-1].shape == (32, 32, 3) for sample in samples)
    assert [sample[1] for sample in samples] == [0] * 8 + [1] * 8 + [2] * 8
    assert {sample[0].shape for sample in samples} == {(60, 80, 3)}


def test_images_and_textures_are_opened_from_one_set_of_tars(photos: Path, run: Run) -> None:
    dst = run(photos, "paired", layout="paired", shard_size=10)
    images, textures, partner = open_pairs(dst)
    alone = open_images(run(photos, "alone"))
    assert partner.tolist() == list(range(24))
    assert images.keys == textures.keys == alone.keys
    assert images.labels.tolist() == open_images(photos).labels.tolist()
    for i in (0, 9, 23):
        np.testing.assert_array_equal(images[i][0], open_images(photos)[i][0])
        assert textures.read(i) == alone.read(i)
    _, others, _ = open_pairs(photos, dst)
    assert others.keys == textures.keys
    with pytest.raises(InputError, match="holds no textures beside its images"):
        open_pairs(run(photos, "plain", format="webdataset"))


def test_tars_keep_their_classes_and_only_good_pairs_go_in(shards: Path, run: Run, tmp_path: Path) -> None:
    src = tmp_path / "src"
    src.mkdir()
    with tarfile.open(shards / "00000.tar") as whole, tarfile.open(src / "0.tar", "w") as half:
        for info in whole.getmembers():
            data = whole.extractfile(info).read()  # type: ignore[union-attr]
            if info.name == "ant-001.jpg":
                data = data[:100]
                info.size = 100
            half.addfile(info, __import__("io").BytesIO(data))
    dst = run(src, layout="paired", max_error_rate=1.0)
    with tarfile.open(src / "0.tar") as before, tarfile.open(dst / "0.tar") as after:
        names = after.getnames()
        assert names[:4] == ["ant-000.jpg", "ant-000.cls", "ant-000.texture.webp", "ant-002.jpg"]
        assert len(names) == 3 * 12
        for name in names:
            if not name.endswith(".webp"):
                old, new = before.extractfile(name), after.extractfile(name)
                assert old is not None
                assert new is not None
                assert old.read() == new.read()


def test_parts_verify_and_resume(photos: Path, run: Run, state: State) -> None:
    whole = state(run(photos, "whole", layout="paired"))
    dst = run(photos, "parts", layout="paired", part_size=5)
    assert state(dst) == whole
    assert verify(VerifyConfig(str(dst), str(photos), pixels=True, resynth=3)) == 0
    (dst / "texneg-000000.tar").unlink()
    assert state(run(photos, "parts", layout="paired", part_size=5)) == whole


def test_new_class_folders_cannot_be_added(photos: Path, run: Run, tmp_path: Path) -> None:
    src = Path(shutil.copytree(photos, tmp_path / "src"))
    shutil.move(src / "ant", tmp_path / "ant")
    run(src, layout="paired")
    shutil.move(tmp_path / "ant", src / "ant")
    with pytest.raises(InputError, match=r"class folders that the plan does not know: 1 \(ant\)"):
        run(src, layout="paired", extend=True)


def test_pairs_need_tars(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="use --format webdataset"):
        synth(SynthConfig.flat(str(photos), str(tmp_path / "out"), layout="paired", format="folder"))


def test_an_image_of_another_format_is_taken_where_there_is_no_other(tmp_path: Path, run: Run) -> None:
    from texneg.datasets.encode import encode

    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    (tmp_path / "src").mkdir()
    from PIL import Image

    for name in ("a.gif", "b.bmp", "c.tif"):
        Image.fromarray(pixels).save(tmp_path / "src" / name)
    (tmp_path / "src" / "d.png").write_bytes(encode(pixels, "png"))
    images, textures, _ = open_pairs(run(tmp_path / "src", layout="paired"))
    assert images.keys == textures.keys == ("a", "b", "c", "d")
    assert images.labels.tolist() == [-1] * 4

"""Caches: pixels shrunk once, whatever interrupts the writing; other images and damage are refused."""

import json

import numpy as np
import pytest
from PIL import Image

from texneg.datasets import cache as module
from texneg.datasets.cache import Cache, Recipe, cut_back, open_cache, shrink, write_cache
from texneg.datasets.fingerprint import sample_fingerprint
from texneg.datasets.images import open_images
from texneg.errors import InputError

N, SIDE = 9, 12


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Images of several sizes, one smaller than the cache's; three images between two waits for the disk."""
    monkeypatch.setattr(module, "CHUNK", 3)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(N):
        pixels = np.random.default_rng(i).integers(0, 256, (8 + 4 * i, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def recipe_of(images, encoding="raw"):
    quality = 90 if encoding == "jpeg" else 0
    return Recipe(SIDE, encoding, quality, False, sample_fingerprint(images), len(images))


def write(photos, out, encoding="raw", **options):
    images = open_images(photos)
    return write_cache(
        out, images, recipe_of(images, encoding), **({"skip_unreadable": False} | options)
    ), images


def content(out):
    return [(out / name).read_bytes() for name in ("images.bin", "index.bin", "cache.json")]


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_a_cache_holds_the_shrunk_images(photos, tmp_path, encoding):
    made, images = write(photos, tmp_path / "cache", encoding)
    made.check(open_images(photos), skip_unreadable=False, allow_truncated=False)
    for i in range(N):
        expected = shrink(images[i][0], SIDE)
        assert made(i).shape == expected.shape
        if encoding == "raw":
            assert np.array_equal(made(i), expected)
        else:
            assert np.abs(made(i).mean((0, 1)) - expected.mean((0, 1))).max() < 8


@pytest.mark.parametrize("killed_at", [1, 4, 8])
def test_writing_goes_on_where_it_was_killed(photos, tmp_path, monkeypatch, killed_at):
    whole, out = tmp_path / "whole", tmp_path / "cache"
    write(photos, whole)
    encode, calls = module.encode_pixels, []

    def killed(*given):
        calls.append(given)
        if len(calls) > killed_at:
            raise KeyboardInterrupt
        return encode(*given)

    monkeypatch.setattr(module, "encode_pixels", killed)
    with pytest.raises(KeyboardInterrupt):
        write(photos, out)
    with pytest.raises(InputError, match="is unfinished: run the same texneg cache again"):
        open_cache(out)
    with (out / "images.bin").open("ab") as data, (out / "index.bin").open("ab") as rows:
        data.write(b"half an image")
        rows.write(b"half a row")
    monkeypatch.setattr(module, "encode_pixels", encode)
    done = []
    write(photos, out, advance=done.append)
    assert done[0] in (0, 3, 6)
    assert sum(done) == N
    assert content(out) == content(whole)


def test_rows_ahead_of_the_pixels_are_cut_back(photos, tmp_path):
    out = tmp_path / "cache"
    made, _ = write(photos, out)
    with (out / "images.bin").open("rb+") as data, (out / "index.bin").open("rb+") as rows:
        data.truncate(made._index[5, 0] + 1)
        assert cut_back(data.fileno(), rows.fileno()) == 5
    with pytest.raises(InputError, match="is not whole; remove it"):
        open_cache(out)


def test_a_changed_folder_is_refused(photos, tmp_path):
    made, _ = write(photos, tmp_path / "cache")

    def check(**policy):
        made.check(open_images(photos), **({"skip_unreadable": False, "allow_truncated": False} | policy))

    with pytest.raises(InputError, match="was made with --no-allow-truncated: give the same here"):
        check(allow_truncated=True)
    data = bytearray((photos / "3.png").read_bytes())
    data[-1] ^= 1
    (photos / "3.png").write_bytes(data)
    with pytest.raises(InputError, match=r"other images .*same names and sizes.*make another"):
        check()
    (photos / "3.png").unlink()
    with pytest.raises(InputError, match=r"other images .*other names, classes or sizes"):
        check()


def test_only_its_own_folder_is_written_to(photos, tmp_path):
    with pytest.raises(InputError, match="neither empty nor a cache"):
        write(photos, photos)
    write(photos, tmp_path / "cache")
    before = content(tmp_path / "cache")
    with pytest.raises(InputError, match="a cache of other images or options"):
        write(photos, tmp_path / "cache", "jpeg")
    write(photos, tmp_path / "cache")
    assert content(tmp_path / "cache") == before


def test_a_full_disk_is_foreseen_and_nothing_is_left(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda folder: 2000)
    with pytest.raises(InputError, match=r"hold about .*2 kB are free there: make room, or give a smaller"):
        write(photos, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_an_image_that_cannot_be_read_ends_the_writing_or_is_left_out(photos, tmp_path):
    (photos / "4.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"4\.png .*give --skip-unreadable or --allow-truncated"):
        write(photos, tmp_path / "cache")
    made, images = write(photos, tmp_path / "cache", skip_unreadable=True)
    assert list(made.unreadable) == ["4.png"]
    assert np.array_equal(made(5), shrink(images[5][0], SIDE))
    with pytest.raises(InputError, match=r"lacks 1 image .*4\.png.*: give --skip-unreadable"):
        made.check(images, skip_unreadable=False, allow_truncated=False)


def test_a_cache_of_another_version_is_refused(photos, tmp_path):
    made, _ = write(photos, tmp_path / "cache")
    assert isinstance(made, Cache)
    header = tmp_path / "cache" / "cache.json"
    header.write_text(json.dumps({"finished": True}))
    with pytest.raises(InputError, match="of another version"):
        open_cache(tmp_path / "cache")
    header.unlink()
    with pytest.raises(InputError, match="make a cache with texneg cache"):
        open_cache(tmp_path / "cache")

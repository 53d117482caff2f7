"""The fingerprint of a data set: a function of keys, classes, sizes and content, and of nothing else."""

import hashlib
import os
import shutil
import tarfile

import fsspec
import numpy as np
import pytest

from texneg.datasets import fingerprint as module
from texneg.datasets.encode import encode
from texneg.datasets.fingerprint import BLOCK, MEMO, describe_change, fingerprint, is_same, sample_fingerprint
from texneg.datasets.images import open_images

BOTH = pytest.mark.parametrize("of", [fingerprint, sample_fingerprint], ids=["whole", "sample"])


def write(folder, name, side):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(np.full((side, side, 3), side, np.uint8), "png"))
    return path.stat().st_size


def fill(folder, size=9 * BLOCK, seed=0):
    """Three files of random bytes in two class folders: nothing here decodes them."""
    draw = np.random.default_rng(seed)
    for name in ("cat/1.bmp", "cat/2.bmp", "dog/3.bmp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(draw.bytes(size))
    return folder


def change_byte(path, place):
    """Change one byte in place, and put both times back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def of_set(of, path):
    return of(open_images(path))


def test_the_first_part_is_what_earlier_versions_kept(tmp_path):
    sizes = [write(tmp_path, name, side) for name, side in (("cat/1.png", 4), ("dog/2.png", 8))]
    text = f"cat/1\0cat\0{sizes[0]}\ndog/2\0dog\0{sizes[1]}\n"
    earlier, found = hashlib.sha256(text.encode()).hexdigest(), of_set(fingerprint, tmp_path)
    assert found.partition("-")[0] == earlier
    assert is_same(earlier, found)
    assert is_same(found, found)
    assert not is_same(found, earlier)
    (tmp_path / "dog/2.png").rename(tmp_path / "dog/3.png")
    renamed = of_set(fingerprint, tmp_path)
    assert not is_same(earlier, renamed)
    assert describe_change(found, renamed) == "other names, classes or sizes"


@BOTH
@pytest.mark.parametrize("size", [100, 3 * BLOCK, 9 * BLOCK], ids=str)
def test_one_byte_of_the_same_size_and_time_is_another_data_set(tmp_path, of, size):
    folder = fill(tmp_path / "set", size)
    known = of_set(of, folder)
    for place in (0, size // 2, size - 1):
        change_byte(folder / "cat" / "2.bmp", place)
        changed = of_set(of, folder)
        assert not is_same(known, changed)
        assert "other content" in describe_change(known, changed)
        change_byte(folder / "cat" / "2.bmp", place)
        assert of_set(of, folder) == known


def test_the_whole_is_read_of_what_is_measured(tmp_path):
    folder = fill(tmp_path / "set")
    whole, sample = of_set(fingerprint, folder), of_set(sample_fingerprint, folder)
    change_byte(folder / "cat" / "2.bmp", 2 * BLOCK)
    assert of_set(fingerprint, folder) != whole
    assert of_set(sample_fingerprint, folder) == sample  # said in the documentation


@BOTH
def test_images_that_changed_places_are_another_data_set(tmp_path, of):
    folder = fill(tmp_path / "set")
    known = of_set(of, folder)
    one, two = folder / "cat" / "1.bmp", folder / "cat" / "2.bmp"
    one.rename(tmp_path / "x")
    two.rename(one)
    (tmp_path / "x").rename(two)
    assert of_set(of, folder) != known


@BOTH
def test_a_copy_elsewhere_is_the_same_data_set(tmp_path, of):
    folder = fill(tmp_path / "set")
    copy = shutil.copytree(folder, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    os.utime(copy / "cat" / "1.bmp", (1, 1))
    assert of_set(of, copy) == of_set(of, folder)
    store = fsspec.filesystem("memory")
    store.put(str(folder), "/fingerprint", recursive=True)
    try:
        assert of_set(of, "memory://fingerprint") == of_set(of, folder)
    finally:
        store.rm("/fingerprint", recursive=True)


@BOTH
def test_a_member_of_a_tar_changed_in_place_is_another_data_set(tmp_path, of):
    folder = fill(tmp_path / "set")
    tar = tmp_path / "0.tar"
    with tarfile.open(tar, "w") as file:
        for path in sorted(folder.rglob("*.bmp")):
            file.add(path, path.relative_to(folder).as_posix())
    known = of_set(of, tar)
    images = open_images(tar)
    _, offset = images.place_of(1)
    change_byte(tar, offset + int(images.sizes[1]) - 1)
    assert not is_same(known, of_set(of, tar))


def test_a_memo_spares_reading_what_nobody_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SETTLED_S", -3600)  # as if the files were an hour old
    folder, memo = fill(tmp_path / "set"), tmp_path / "memo"
    known = fingerprint(open_images(folder), memo)
    with monkeypatch.context() as patched:
        patched.setattr(module, "_compute", lambda _: pytest.fail("read again"))
        assert fingerprint(open_images(folder), memo) == known
    path = folder / "cat" / "2.bmp"
    then = path.stat().st_ctime_ns
    change_byte(path, 5)
    while path.stat().st_ctime_ns == then:  # the clock of the file system moves in steps
        os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    changed = fingerprint(open_images(folder), memo)
    assert changed == of_set(fingerprint, folder) != known
    assert len((memo / MEMO).read_text().splitlines()) == 2


def test_a_memo_takes_nothing_that_was_written_a_moment_ago(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SETTLED_S", 3600)  # a moment in which a stalled machine finishes this test
    folder, memo = fill(tmp_path / "set"), tmp_path / "memo"
    fingerprint(open_images(folder), memo)
    assert not (memo / MEMO).exists()


def test_a_file_that_this_user_may_not_read_does_not_end_it(tmp_path, monkeypatch):
    folder = fill(tmp_path / "set", 100)
    images = open_images(folder)
    read = type(images).read

    def refuse(self, i):
        if i == 1:
            raise PermissionError(13, "Permission denied")
        return read(self, i)

    known = of_set(fingerprint, folder)
    monkeypatch.setattr(type(images), "read", refuse)
    assert fingerprint(images) != known

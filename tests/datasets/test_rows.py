"""Images as rows of .npy files: which rows a severity has, and what files that are something else get."""

import os
import time

import numpy as np
import pytest

from texneg.datasets.decode import DecodeError
from texneg.datasets.fingerprint import fingerprint
from texneg.datasets.rows import open_rows
from texneg.errors import InputError

CLASSES = ("cat", "dog", "frog")
N = 4


@pytest.fixture
def folder(tmp_path):
    """fog.npy and labels.npy: five severities of four 8 x 8 images."""
    pixels = np.random.default_rng(0).integers(0, 256, (5 * N, 8, 8, 3), np.uint8)
    np.save(tmp_path / "fog.npy", pixels)
    np.save(tmp_path / "labels.npy", np.tile([2, 0, 1, 2], 5))
    return tmp_path


def rows(folder, severity=1):
    return open_rows(str(folder), "fog", severity, 5, CLASSES)


def test_a_severity_is_a_fifth_of_the_rows(folder):
    pixels = np.load(folder / "fog.npy")
    for severity in range(1, 6):
        images = rows(folder, severity)
        assert len(images) == N
        assert images.classes == CLASSES
        for i in range(N):
            found, label = images[i]
            np.testing.assert_array_equal(found, pixels[(severity - 1) * N + i])
            assert label == (2, 0, 1, 2)[i]
    assert rows(folder, 1).keys == rows(folder, 5).keys  # the same images, to be paired
    assert rows(folder, 1).root != rows(folder, 5).root
    assert len({fingerprint(rows(folder, severity)) for severity in range(1, 6)}) == 5
    assert fingerprint(rows(folder, 2)) == fingerprint(rows(folder, 2))


def test_remembered_fingerprints_tell_rows_of_one_file_apart(folder):
    for path in folder.glob("*.npy"):
        os.utime(path, (0, 0))
    plain = [fingerprint(rows(folder, severity)) for severity in range(1, 6)]
    time.sleep(2.1)  # until the change time of the file counts as settled
    for _ in range(2):
        assert [fingerprint(rows(folder, severity), folder) for severity in range(1, 6)] == plain
    assert len((folder / "fingerprints.jsonl").read_text().splitlines()) == 5


def test_labels_of_one_severity_count_for_all(folder):
    np.save(folder / "labels.npy", np.array([2, 0, 1, 2], np.uint8))
    assert rows(folder, 4).labels.tolist() == [2, 0, 1, 2]


def test_some_rows_are_taken(folder):
    few = rows(folder, 2).take(np.array([3, 1]))
    np.testing.assert_array_equal(few[0][0], np.load(folder / "fog.npy")[N + 3])
    assert few.labels.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((20, 8, 8, 3), np.float32), "float32 of shape (20, 8, 8, 3); expected are uint8 images"),
        (np.zeros((20, 8, 8), np.uint8), "uint8 of shape (20, 8, 8); expected"),
        (np.zeros((20, 3, 8, 8), np.uint8), "uint8 of shape (20, 3, 8, 8); expected"),
        (np.zeros((21, 8, 8, 3), np.uint8), "the same number of rows for each of 5 severities"),
        (np.zeros((0, 8, 8, 3), np.uint8), "expected"),
        (np.asfortranarray(np.zeros((20, 8, 8, 3), np.uint8)), "expected"),
        (np.array([{}]), "cannot be read as an array"),
    ],
)
def test_other_arrays_are_refused(folder, pixels, said):
    np.save(folder / "fog.npy", pixels, allow_pickle=True)
    with pytest.raises(InputError) as raised:
        rows(folder)
    assert said in str(raised.value)
    assert "fog.npy" in str(raised.value)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros(19, np.int64), "int64 of shape (19,); expected are 4 or 20 whole numbers"),
        (np.zeros(20), "float64 of shape (20,); expected"),
        (np.zeros((20, 1), np.int64), "expected"),
        (np.full(20, 3), "has numbers 3 to 3, the set 3 classes, 0 to 2"),
        (np.full(20, -1), "has numbers -1 to -1"),
    ],
)
def test_other_labels_are_refused(folder, labels, said):
    np.save(folder / "labels.npy", labels)
    with pytest.raises(InputError) as raised:
        rows(folder)
    assert said in str(raised.value)


def test_files_that_are_missing_or_cut(folder):
    whole = (folder / "fog.npy").read_bytes()
    images = rows(folder, 5)
    (folder / "fog.npy").write_bytes(whole[:-100])
    with pytest.raises(DecodeError, match=r"row 00003 of .*fog\.npy severity 5: the file breaks off"):
        images[N - 1]
    for content in (whole[:-100], whole[:60], b"", b"no array"):
        (folder / "fog.npy").write_bytes(content)
        with pytest.raises(InputError, match=r"fog\.npy cannot be read as an array .*; download it again"):
            rows(folder)
    np.savez(folder / "fog", a=np.zeros(3))
    (folder / "fog.npz").rename(folder / "fog.npy")
    with pytest.raises(InputError, match="is an archive of arrays; expected is one array"):
        rows(folder)
    (folder / "fog.npy").write_bytes(whole)
    (folder / "labels.npy").unlink()
    with pytest.raises(InputError, match=r"labels\.npy does not exist; it holds whole numbers: complete the"):
        rows(folder)
    with pytest.raises(InputError, match="array files are read from disk alone"):
        open_rows("s3://bucket/cifar", "fog", 1, 5, CLASSES)

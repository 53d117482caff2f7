"""The fingerprint of a data set: a function of keys, classes, sizes and content, and of nothing else."""

import hashlib

import numpy as np

from texneg.datasets.encode import encode
from texneg.datasets.fingerprint import fingerprint
from texneg.datasets.images import open_images


def write(folder, name, side):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(np.full((side, side, 3), side, np.uint8), "png"))
    return path.stat().st_size


def test_a_fingerprint_covers_keys_classes_and_sizes(tmp_path):
    sizes = [write(tmp_path, name, side) for name, side in (("cat/1.png", 4), ("dog/2.png", 8))]
    text = f"cat/1\0cat\0{sizes[0]}\ndog/2\0dog\0{sizes[1]}\n"
    found = fingerprint(open_images(tmp_path))
    assert found == hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / "dog/2.png").rename(tmp_path / "dog/3.png")
    assert fingerprint(open_images(tmp_path)) != found

"""Fingerprints: names, classes and content of a data set in a word, by which results know their images.

A fingerprint has two parts: sha256 over keys, classes and encoded sizes, and sha256 over contents. Neither
the place of a data set nor the times of its files are in it, so that a copy is the same data set.

`fingerprint` reads every byte and is for what is measured. `sample_fingerprint` reads a file up to 12 kB
whole and three blocks of a larger one, and is for training, which may begin on millions of unread images.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary

from texneg.datasets.images import ImageSet
from texneg.datasets.storage.json_files import append_json_line, read_json_lines
from texneg.datasets.storage.places import map_in_order, parse_place, read_range
from texneg.datasets.storage.url import Url

BLOCK = 4096  # bytes, at the beginning, in the middle and at the end of a large file
CHUNK = 64  # images a thread reads in a row
MEMO = "fingerprints.jsonl"
SETTLED_S = 2.0  # the coarsest clock of a file system: a file changed later has a later time

_known: WeakKeyDictionary[ImageSet, str] = WeakKeyDictionary()
_sampled: WeakKeyDictionary[ImageSet, str] = WeakKeyDictionary()


def fingerprint(images: ImageSet, memo: str | Path | None = None) -> str:
    """Fingerprint of every byte of a data set.

    Args:
        images: on disk or in a store.
        memo: a folder on disk that keeps the fingerprints of data sets while their files stay untouched.
            Writing to a file sets its change time, which no program can set back: then all is read again.
    """
    if images not in _known:
        _known[images] = _compute(images) if memo is None else _remember(images, Path(memo) / MEMO)
    return _known[images]


def sample_fingerprint(images: ImageSet) -> str:
    """Fingerprint of the beginning, middle and end of every image; equal to the whole one for small files."""
    if images not in _sampled:
        _sampled[images] = _join(images, partial(_read_sample, images))
    return _sampled[images]


def is_same(saved: str, now: str) -> bool:
    """True for equal fingerprints; that of an earlier version has the first part alone."""
    return saved in (now, now.partition("-")[0])


def describe_change(saved: str, now: str) -> str:
    """Say what tells two fingerprints apart."""
    if saved.partition("-")[0] != now.partition("-")[0]:
        return "other names, classes or sizes"
    return "the same names and sizes, but other content"


def _compute(images: ImageSet) -> str:
    return _join(images, images.read)


def _join(images: ImageSet, read: Callable[[int], bytes]) -> str:
    return f"{_hash_listing(images)}-{_hash_contents(images, read)}"


def _hash_listing(images: ImageSet) -> str:
    digest, names = hashlib.sha256(), (*images.classes, "")
    for key, label, size in zip(images.keys, images.labels.tolist(), images.sizes.tolist(), strict=True):
        digest.update(f"{key}\0{names[label]}\0{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _hash_contents(images: ImageSet, read: Callable[[int], bytes]) -> str:
    def hash_chunk(chunk: range) -> bytes:
        return b"".join(hashlib.sha256(_read_allowed(read, i)).digest() for i in chunk)

    digest, n = hashlib.sha256(), len(images)
    for part in map_in_order(hash_chunk, (range(at, min(at + CHUNK, n)) for at in range(0, n, CHUNK))):
        digest.update(part)
    return digest.hexdigest()


def _read_allowed(read: Callable[[int], bytes], i: int) -> bytes:
    """Read an image; nothing of one that this user may not read, which counts as damaged."""
    try:
        return read(i)
    except PermissionError:
        return b""


def _read_sample(images: ImageSet, i: int) -> bytes:
    """Read three blocks of an image; a store gives a file as quickly as its parts."""
    (file, offset), size = images.place_of(i), int(images.sizes[i])
    starts = (0, (size - BLOCK) // 2, size - BLOCK)
    where = parse_place(file)
    if size <= len(starts) * BLOCK:
        return images.read(i)
    if isinstance(where, Url):
        data = read_range(where, offset, size)
        return b"".join(data[start : start + BLOCK] for start in starts)
    parts = []
    with where.open("rb", buffering=0) as opened:
        for start in starts:
            opened.seek(offset + start)
            parts.append(opened.read(BLOCK))
    return b"".join(parts)


def _remember(images: ImageSet, memo: Path) -> str:
    """Take the fingerprint from a file of stamps and fingerprints, or compute it and add it there."""
    begun, before = time.time(), _stamp(images)
    if before is None:
        return _compute(images)
    stamp, changed = before
    known = {line.get("stamp"): line.get("fingerprint") for line in read_json_lines(memo)}
    if found := known.get(stamp):
        return str(found)
    computed = _compute(images)
    if changed < begun - SETTLED_S and _stamp(images) == before:
        append_json_line(memo, {"stamp": stamp, "fingerprint": computed})
    return computed


def _stamp(images: ImageSet) -> tuple[str, float] | None:
    """Digest of places, and of inode, size and times of every file, and the latest time; None in a store."""
    digest, latest = hashlib.sha256(_hash_listing(images).encode()), 0.0
    if images.offsets.any():  # rows of one array, and members of one tar, have their files in common
        digest.update(images.offsets.tobytes())
    for file in _files(images):
        where = parse_place(file)
        if isinstance(where, Url):
            return None
        s = where.stat()
        text = f"{file}\0{s.st_dev}\0{s.st_ino}\0{s.st_size}\0{s.st_mtime_ns}\0{s.st_ctime_ns}\n"
        digest.update(text.encode("utf-8", "surrogateescape"))
        latest = max(latest, s.st_mtime, s.st_ctime)
    return digest.hexdigest(), latest


def _files(images: ImageSet) -> Iterator[str]:
    yield from dict.fromkeys(images.place_of(i)[0] for i in range(len(images)))

"""The members of an output tar: textures, or under one key an image, its class and its texture."""

import os
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from texneg.datasets.sources.tars import data_offset, fragment
from texneg.datasets.storage.names import hide_dots, unescape
from texneg.synth.ledger.manifest import Row
from texneg.synth.plan.settings import Settings
from texneg.synth.task.images import Made, Part


def fragments(part: Part, settings: Settings, classes: Sequence[str]) -> Iterator[bytes]:
    """A part's textures as tar members in order; notes the place of each in its row when it is taken.

    Args:
        part: rows, and what was made of those that are ok.
        settings: of the run.
        classes: labels in the order of their numbers; empty where the input has numbers of its own.
    """
    end = 0
    rows = (row for row in part.rows if row["status"] == "ok")
    for row, made in zip(rows, part.made, strict=True):
        name = made.out.partition("::")[2]
        if settings.layout == "paired":
            beside = _image_and_class(row, made, classes)
            yield beside
            end += len(beside)
        row["out_offset"] = end + data_offset(name)
        texture = fragment(name, made.texture)
        yield texture
        end += len(texture)


def _image_and_class(row: Row, made: Made, classes: Sequence[str]) -> bytes:
    key = hide_dots(row["key"])
    extension = PurePosixPath(row["src"]).suffix.lower()
    image = fragment(f"{key}{extension}", made.image)
    text = _class_text(row, classes)
    return image + fragment(f"{key}.cls", text) if text else image


def _class_text(row: Row, classes: Sequence[str]) -> bytes:
    """What `.cls` says: the number of a class folder, or what it said in the input; empty for no class."""
    label = row["label"]
    if label is None:
        return b""
    if classes:
        return str(classes.index(label)).encode()
    folder, slash, _ = row["key"].partition("/")
    return b"" if slash and label == folder else os.fsencode(unescape(label))

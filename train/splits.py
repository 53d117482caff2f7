"""Which part of a data set to learn from and which to test on, by the names of its folders."""

from collections.abc import Sequence
from pathlib import Path

from texneg.datasets.images import ImageSet, open_images
from texneg.errors import InputError

HELD_OUT = ("val", "validation", "test")


def open_train(path: str) -> ImageSet:
    """The `train` split of a folder that has one, otherwise all of it."""
    return open_images(path, "train" if (Path(path) / "train").is_dir() else None)


def labelled(images: ImageSet) -> ImageSet:
    """The images, checked to have classes.

    Raises:
        InputError: fewer than two classes, or an image in no class folder.
    """
    if len(images.classes) < 2:
        raise InputError(f"{images.root} has {len(images.classes)} class folders; it needs two or more")
    for key, label in zip(images.keys, images.labels.tolist(), strict=True):
        if label < 0:
            raise InputError(f"{key} of {images.root} lies in no class folder; move it into one or away")
    return images


def find_test(path: str, classes: Sequence[str]) -> ImageSet | None:
    """The first of the splits val, validation and test below a folder that has one of the classes."""
    for split in HELD_OUT:
        if (Path(path) / split).is_dir():
            images = open_images(path, split)
            if set(images.classes) & set(classes):
                return images
    return None

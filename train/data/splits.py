"""Splits of a data set, by the names of its folders: the images to learn from and those to test on."""

from collections.abc import Sequence

from texneg.datasets.images import ImageSet, open_images
from texneg.datasets.pairs import open_textures_beside
from texneg.datasets.storage.places import parse_place
from texneg.errors import InputError

HELD_OUT = ("val", "validation", "test")


def open_train(path: str) -> ImageSet:
    """Open the `train` split of a folder that has one, otherwise all of it."""
    return open_images(path, find_train_split(path))


def open_textures(path: str, images: ImageSet, data: str) -> ImageSet | None:
    """Open the textures of training images.

    Args:
        path: what `texneg synth` wrote, folders or tars; empty for textures in the tars of the images.
        images: those of `data`.
        data: what `open_train` opened.

    Returns:
        The textures; None where no path is given and the images have none beside them.
    """
    if path:
        return open_images(path, find_train_split(path), textures=True)
    return open_textures_beside(images, data, find_train_split(data))


def find_train_split(path: str) -> str | None:
    """Return `train` where there is such a folder."""
    return "train" if (parse_place(path) / "train").is_dir() else None


def require_labels(images: ImageSet) -> ImageSet:
    """Return the images if all of them have classes.

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
    """Open the first of the splits val, validation and test that has one of the classes; None without one."""
    for split in HELD_OUT:
        if (parse_place(path) / split).is_dir():
            images = open_images(path, split)
            if set(images.classes) & set(classes):
                return images
    return None

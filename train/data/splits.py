"""Splits of a data set, by the names of its folders: the images to learn from and those to test on."""

from collections.abc import Sequence

from texneg.cli.console import info, plural
from texneg.datasets.images import UNLABELLED, ImageSet, open_images
from texneg.datasets.pairs import open_textures_beside
from texneg.datasets.sources.folders import list_own
from texneg.datasets.sources.passed_over import is_image
from texneg.datasets.sources.splits import HELD_OUT, KAGGLE, TRAIN, find_nested, is_split
from texneg.datasets.storage.places import Place, parse_place
from texneg.errors import InputError
from texneg.train.distributed import rank

SHOWN = 5


def open_train(path: str) -> ImageSet:
    """Open the `train` split of a folder that has one, or of the data set in it, otherwise all of it.

    Raises:
        InputError: see `open_images`; or several data sets with a train split lie there.
    """
    root = find_root(path)
    images = open_images(root, find_train_split(root))
    report_inputs(images, chosen=root != parse_place(path))
    return images


def open_test(path: str) -> ImageSet:
    """Open test images that were named."""
    images = open_images(path)
    report_inputs(images)
    return images


def open_textures(path: str, images: ImageSet, data: str) -> ImageSet | None:
    """Open the textures of training images.

    Args:
        path: what `texneg synth` wrote, folders or tars; empty for textures in the tars of the images.
        images: those of `data`.
        data: what `open_train` opened.

    Returns:
        The textures; None where no path is given and the images have none beside them.
    """
    root = find_root(path or data)
    if path:
        return open_images(root, find_train_split(root), textures=True)
    return open_textures_beside(images, root, find_train_split(root))


def find_root(path: str | Place) -> Place:
    """Find the folder that holds the splits: the path itself, or the only data set in it that has any.

    Raises:
        InputError: there are several, or other folders lie beside it.
    """
    root = parse_place(path)
    if find_train_split(root):
        return root
    found, others = find_nested(root)
    if len(found) > 1 or (found and others):
        seen = f"{_list(found)} with train and other splits{f' beside {_list(others)}' if others else ''}"
        raise InputError(f"{path} holds {seen}: give one, such as {root / found[0]}")
    return root / found[0] if found else root


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def find_train_split(path: str | Place) -> str | None:
    """Return `train` where there is such a folder and it is no class beside others."""
    root = parse_place(path)
    return TRAIN if (root / TRAIN).is_dir() and not _is_class(root) else None


def _is_class(root: Place) -> bool:
    """True if the folder `train` is a class: it holds images alone, and other such folders lie beside it."""
    if any((root / split).is_dir() for split in HELD_OUT):
        return False
    others = [entry.name for entry in list_own(root) if entry.is_dir() and entry.name != TRAIN]
    if not others or is_split(root / TRAIN):
        return False
    return any(is_image(entry.name) for name in others for entry in list_own(root / name))


def report_inputs(images: ImageSet, *, chosen: bool = False) -> None:
    """Print the files that were passed over; with `chosen` also where the images were found."""
    lines = images.passed_over.lines()
    if rank() == 0 and (lines or chosen):
        info(f"{plural(len(images), 'image')} of {images.root}")
        for line in lines:
            info(f"passed over: {line}")


def require_labels(images: ImageSet) -> ImageSet:
    """Return the images if all of them have classes.

    Raises:
        InputError: fewer than two classes, or an image in no class folder.
    """
    if len(images.classes) < 2:
        seen = f"one class folder, {images.classes[0]}" if images.classes else "no class folders"
        raise InputError(f"{images.root} has {seen}; it needs two or more")
    for key, label in zip(images.keys, images.labels.tolist(), strict=True):
        if label < 0:
            raise InputError(f"{key} of {images.root} lies in no class folder; move it into one or away")
    return images


def find_test(path: str, classes: Sequence[str]) -> ImageSet | None:
    """Open the first of the splits val, validation and test that has one of the classes; None without one."""
    root, unlabelled = find_root(path), []
    for split in HELD_OUT:
        if (root / split).is_dir():
            images = open_images(root, split)
            if set(images.classes) & set(classes):
                report_inputs(images)
                return images
            if (images.labels == UNLABELLED).all():
                unlabelled.append(split)
    if unlabelled and rank() == 0:
        kaggle = " (Kaggle's LOC_val_solution.csv names them)" if str(root).endswith(KAGGLE) else ""
        info(
            f"{' and '.join(unlabelled)} of {root}: images without class folders, not used for tests;"
            f" move each into a folder of its class{kaggle}"
        )
    return None

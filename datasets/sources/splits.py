"""Splits by the names of folders: train, val, validation, test, directly below a root or further down."""

from texneg.datasets.sources.compressed import is_tar
from texneg.datasets.sources.folders import list_own
from texneg.datasets.storage.places import Place

TRAIN = "train"
HELD_OUT = ("val", "validation", "test")
SPLITS = (TRAIN, *HELD_OUT)
KAGGLE = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "CLS-LOC")  # in ImageNet as Kaggle gives it out
MOST_FOLDERS = 20  # in a folder that holds data sets rather than classes


def is_split(folder: Place) -> bool:
    """True if a folder holds class folders or tars."""
    return any(entry.is_dir() or (is_tar(entry.name) and entry.is_file()) for entry in list_own(folder))


def find_nested(root: Place) -> list[str]:
    """Find the folders below a root that have a train split; none where the root is no folder of a few."""
    if not root.is_dir():
        return []
    if found := [name for name in KAGGLE if _has_train(root / name)]:
        return found[:1]
    names = [entry.name for entry in list_own(root) if entry.is_dir() and entry.name not in SPLITS]
    return [name for name in names if _has_train(root / name)] if len(names) <= MOST_FOLDERS else []


def _has_train(folder: Place) -> bool:
    return (folder / TRAIN).is_dir() and is_split(folder / TRAIN)

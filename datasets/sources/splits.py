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


def find_nested(root: Place) -> tuple[list[str], list[str]]:
    """Find the folders below a root that have a train split and another; and the folders beside them."""
    if not root.is_dir():
        return [], []
    if found := [name for name in KAGGLE if _has_splits(root / name)]:
        return found[:1], []
    names = [entry.name for entry in list_own(root) if entry.is_dir() and entry.name not in SPLITS]
    found = [name for name in names if _has_splits(root / name)] if len(names) <= MOST_FOLDERS else []
    return found, [name for name in names if name not in found]


def _has_splits(folder: Place) -> bool:
    if not (folder / TRAIN).is_dir() or not any((folder / split).is_dir() for split in HELD_OUT):
        return False
    return is_split(folder / TRAIN)

"""Groups of training images, whose members are no negatives of each other: classes, or clusters in a file."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from texneg.cli.console import plural
from texneg.datasets.images import ImageSet
from texneg.errors import InputError, describe_error

NO_GROUP = -1
COLUMNS = "name", "group"


def read_groups(path: str, images: ImageSet) -> npt.NDArray[np.int64]:
    """Read the group of each image from a CSV file with the columns name and group.

    Args:
        path: of the file. A name is an image's key, such as class1/7, with or without the ending of its
            file; any text is a group.
        images: n of them.

    Returns:
        (n,) numbers of groups; -1 for an image without a row.

    Raises:
        InputError: a file that cannot be read, lacks a column, names an image twice, or none of the images.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"--groups {path}: {describe_error(error)}; it takes a CSV file with columns name and group"
        ) from error
    if not rows or any(row.get(column) is None for row in rows for column in COLUMNS):
        raise InputError(
            f"--groups {path}: every row needs a name and a group, under a heading of both words"
        )
    given = {row["name"]: row["group"] for row in rows}
    if len(given) < len(rows):
        raise InputError(
            f"--groups {path}: {plural(len(rows) - len(given), 'name')} given more than once; give each image"
            " one group"
        )
    numbers = {group: number for number, group in enumerate(dict.fromkeys(given.values()))}
    found = [given.get(images.keys[i], given.get(images.name(i))) for i in range(len(images))]
    if all(group is None for group in found):
        raise InputError(
            f"--groups {path}: names none of the {len(images)} images ({images.keys[0]}, ...) but"
            f" {rows[0]['name']}"
        )
    return np.array([NO_GROUP if group is None else numbers[group] for group in found], np.int64)

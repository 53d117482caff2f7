"""Act one, first scene: every kind of negative as a picture, with its figures measured here.

`texneg audit` measures the same, with intervals and on as many images as one likes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from texneg.datasets.decode import DecodeError
from texneg.datasets.images import open_images
from texneg.errors import InputError
from texneg.tell import FEWEST
from texneg.train.audit.audit import AuditConfig, measure, prepare
from texneg.train.audit.columns import CONTROL, IMAGE, MOST_SHARE
from texneg.train.audit.page import Row, draw_page
from texneg.train.sheet.figures import HEADLINES, format_time
from texneg.train.study import quiet

KINDS = {  # as `texneg audit --negatives` takes them: in words
    "patch": "patches",
    "patch:no-overlap": "patches, each once",
    "patch:size=small,mirror=3,blend=0.125": "small patches, soft seams",
    "patch_permutation": "a grid, permuted",
    "texture_live": "texture, in the loop",
    "texture": "texture, made before",
}
IMAGES, SHOWN = 80, 5
LARGEST_PX, STEP_PX, LOOKED_AT = 224, 16, 8  # sides of views are multiples of the step
LEGEND = "tell: found by a classifier that sees 5 or 20 px, .50 is never; then the CPU time to make one"
LEAK = "; leak: an encoder still finds the class, whose rank is below each image"
KEY = (
    "tell   found by a classifier that sees 5 or 20 pixels at a time: 0.50 is never, 1.00 is always",
    "leak   negatives in which an encoder still finds the class of the image (act two trains one)",
    "time   to make one, CPU time on this machine",
)


@dataclass(frozen=True)
class Subject:
    """Images whose negatives are looked at."""

    data: str
    sheet: Path
    """the picture to write"""
    audit: Path
    """folder for the figures, which are kept"""
    encoder: Path | str | None = None
    """for the leak; None for no leak"""


def show_negatives(subject: Subject, log: Callable[[str], None]) -> None:
    """Draw the sheet of a set of images, and print the figures of each kind.

    Raises:
        InputError: images that cannot be audited; with an encoder, images without classes.
    """
    with quiet(subject.audit / "audit.log"):
        config = AuditConfig(
            subject.data,
            str(subject.audit),
            negatives=tuple(KINDS),
            encoder=None if subject.encoder is None else str(subject.encoder),
            images=IMAGES,
            size=choose_side(subject.data),
        )
        views, found, witness = prepare(config)
        columns = [replace(one, title=KINDS.get(one.name, one.title)) for one in found]
        columns = [one for one in columns if one.name in (IMAGE, CONTROL, *KINDS)]
        rows = measure(config, views, columns, witness)
        legend = LEGEND if witness is None else LEGEND + LEAK
        draw_page(subject.sheet, views.images.keys, views.cuts, columns, rows, count=SHOWN, legend=legend)
    log(f"    {'':26}  tell 5, 20 px    leak        time")
    for row in rows[1:]:
        log(f"    {describe(row)}")
    log(f"    {len(views.images)} images, views of {config.size} px -> {subject.sheet}")


def describe(row: Row) -> str:
    """Write the figures of a kind as a line of the table."""
    tell = {one["field"]: f"{one['auc']:.2f}" for one in row["tell"] if not one["colour"]}
    figures = "  ".join(tell.get(field, "") for field in HEADLINES)
    leak = "" if row["leak"] is None else f"{100 * row['leak']['top1']:.0f} %"
    time = "" if row["microseconds"] is None else format_time(row["microseconds"])
    return f"{row['title']:26}  {figures:>13}  {leak:>6}  {time:>10}".rstrip()


def choose_side(data: str) -> int:
    """Choose the side of views: as large as most of the images have them without being enlarged.

    Raises:
        InputError: too few images, or none of the first can be read.
    """
    images, shorter = open_images(data), list[int]()
    if len(images) < FEWEST:
        raise InputError(f"--photos {data}: {len(images)} images; tell needs {FEWEST} or more")
    for place in range(0, len(images), -(-len(images) // LOOKED_AT)):
        try:
            shorter.append(min(images[place][0].shape[:2]))
        except DecodeError:
            continue
    if not shorter:
        raise InputError(f"{data}: none of the images that were tried can be read")
    fitting = int(MOST_SHARE * median(shorter)) // STEP_PX * STEP_PX
    return max(STEP_PX, min(LARGEST_PX, fitting))

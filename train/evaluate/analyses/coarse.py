"""Fine against coarse: the right class within a part of WordNet, such as the dogs, and the part itself.

Ge et al. (NeurIPS 2021) saw the accuracy on dog breeds fall faster than that on dogs as training turned away
from texture: classes that differ in little but texture need it.

Shapes: N images of the part, C head classes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from texneg.datasets.images import ImageSet
from texneg.datasets.wordnet.wordnet import climb, find_synset, read_names, read_parents
from texneg.errors import InputError
from texneg.train.data.splits import require_labels
from texneg.train.evaluate.analyses.base import Findings
from texneg.train.evaluate.analyses.tested import Setup, Tested
from texneg.train.evaluate.class_space import choose, list_some
from texneg.train.evaluate.encoders import Encoder
from texneg.train.evaluate.figures import FAINT, NAME, Look, is_narrow, lower_row, name_rows, subplots
from texneg.train.evaluate.sets.accuracy import score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {"fine": "right class within", "coarse": "taken for any of", "inside": "told from all others"}


@dataclass(frozen=True)
class Coarse(Tested):
    """Accuracy on classes of a part of WordNet, such as dog, beside that on the part itself."""

    subtrees: tuple[str, ...] = ("dog",)
    """parts of WordNet: ids such as n02084071, or names; classes below them are taken from the head"""

    name: ClassVar[str] = "coarse"
    heading: ClassVar[str] = "Fine against coarse"
    lede: ClassVar[str] = "Classes that differ in little but texture, and the group that they form."
    caption: ClassVar[str] = (
        "Fine: the right class, chosen among the classes of the part. Coarse: any class of the part, "
        "chosen among all. Told from all others: images of the part and all other images, each half of "
        "the number. Lines are 95 % intervals over images, dashes chance of the fine choice. Fine "
        "accuracy that falls while coarse stays is what less texture costs; the two have other chance "
        "levels, so compare arms, not rows."
    )

    def measure(self, encoder: Encoder, images: ImageSet, index: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Measure each part."""
        parts = [find_synset(text) for text in self.subtrees]
        tested = require_labels(images).take(index)
        setup = self.prepare(encoder, images, tested)
        columns = {part: find_columns(part, setup) for part in parts}
        logits = setup.head.logits(setup.extract(batch=self.batch))
        return {"parts": {part: measure_part(logits, setup, columns[part]) for part in parts}}

    @classmethod
    def numbers(cls, found: Findings) -> dict[str, float]:
        """Both accuracies of each part."""
        return {
            f"{KINDS[kind]} {read_names()[part]}": one[kind]["accuracy"]
            for part, one in found["parts"].items()
            for kind in KINDS
            if one[kind]
        }

    @classmethod
    def summary(cls, found: Findings) -> list[str]:
        """Lines of each part."""
        lines = []
        for part, one in found["parts"].items():
            some = (
                f"{one['fine']['n']} images of {one['classes']} classes below {read_names()[part]} ({part})"
            )
            lines.append(f"{some}, chance {100 * one['chance']:.1f} %")
            for kind, words in KINDS.items():
                if score := one[kind]:
                    ends = f"[{100 * score['low']:.1f}, {100 * score['high']:.1f}]"
                    lines.append(f"  {words:<22}{100 * score['accuracy']:5.1f} % {ends}")
        return lines

    @classmethod
    def figure(cls, arms: Sequence[tuple[Look, Sequence[Findings]]]) -> "Figure":
        """A row for each part and kind."""
        rows = list(dict.fromkeys(
            (part, kind) for _, runs in arms for found in runs for part, one in found["parts"].items()
            for kind in KINDS if one[kind]
        ))  # fmt: skip
        above = NAME if is_narrow() else 0
        figure, axes = subplots(height=(15 * len(arms) + 16 + above) * len(rows) + 60)
        for place, (part, kind) in enumerate(rows):
            for i, (look, runs) in enumerate(arms):
                own = [one["parts"][part] for one in runs if part in one["parts"]]
                if not own or not own[0][kind]:
                    continue
                y = place + lower_row() + (i - (len(arms) - 1) / 2) * 0.6 / len(arms)
                mean, low, high = (
                    100 * np.mean([one[kind][name] for one in own]) for name in ("accuracy", "low", "high")
                )
                axes.plot([low, high], [y, y], color=look.colour, linewidth=2)
                axes.plot(mean, y, **look.point)
                if kind == "fine":
                    chance = 100 * own[0]["chance"]
                    span = [place - 0.4 + 1.5 * lower_row(), place + 0.4]
                    axes.plot([chance, chance], span, color=FAINT, ls=(0, (2, 2)))
        names = [f"{KINDS[kind]} {read_names()[part]}" for part, kind in rows]
        name_rows(axes, names)
        axes.set_xlim(0, 100)
        axes.set_title("Accuracy, %")
        return figure


def find_columns(part: str, setup: Setup) -> torch.Tensor:
    """Find the choices of a head that lie below a synset: places in the head.

    Raises:
        InputError: fewer than two, or test images of fewer than two of them.
    """
    names, choices = setup.head.classes, set(setup.space.columns.tolist())
    below = [
        i
        for i, name in enumerate(names)
        if i in choices and name in read_parents() and part in climb(name) and name != part
    ]
    columns = torch.tensor(below, dtype=torch.int64)
    labels = setup.space.labels[setup.space.known]
    there = int(setup.space.right[:, columns].any(1)[labels.unique()].sum()) if below else 0
    if there < 2:
        title = f"{read_names()[part]} ({part})"
        raise InputError(
            f"--subtrees {title}: {there} of the tested classes lie below it, two or more are needed; classes"
            f" are known by WordNet id, and these are {list_some(names)}"
        )
    return columns


def measure_part(logits: torch.Tensor, setup: Setup, columns: torch.Tensor) -> dict[str, Any]:
    """Measure fine, coarse and inside-or-outside accuracy; `logits` (images that count, C)."""
    space = setup.space
    inside = space.right[:, columns].any(1)[space.labels[space.known]]
    fine = space.judge(columns[logits[:, columns].argmax(1)])
    called = torch.isin(choose(logits, space)["masked"], columns)
    balanced = None
    if not inside.all():
        hits, passes = (score(part) for part in (called[inside], ~called[~inside]))
        balanced = {
            name: (getattr(hits, name) + getattr(passes, name)) / 2 for name in ("accuracy", "low", "high")
        }
    kinds = int(space.right[:, columns].any(1)[: len(space.folders)].sum())
    return {
        "classes": kinds,
        "chance": 1 / len(columns),
        "fine": asdict(score(fine[inside])),
        "coarse": asdict(score(called[inside])),
        "inside": balanced,
    }

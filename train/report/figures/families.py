"""Corruption errors: bars family by family, noise, blur, weather and digital artefacts."""

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from texneg.train.evaluate.figures import AXIS, INK, is_narrow, subplots
from texneg.train.report.corruptions import FAMILIES, OTHERS, describe, find_family, order
from texneg.train.report.metrics.base import Spread
from texneg.train.report.metrics.corruption import ArmCorruption, CorruptionErrors
from texneg.train.report.runs import Arm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAR = 15  # pixels
SHOWN = 100.0  # percent


def read_error(arm: ArmCorruption | None, name: str) -> Spread | None:
    """CE of a corruption where there is a reference, else the error over severities."""
    if arm is None or name not in arm.errors:
        return None
    return arm.ce.get(name) if arm.ce else Spread(fmean(arm.errors[name].values()), None)


def draw_families(arms: Sequence[Arm], one: CorruptionErrors) -> "Figure":
    """Draw a bar for each corruption and arm, with the deviation over seeds."""
    names = order(name for arm in one.arms if arm for name in arm.errors)
    members = {
        family: [name for name in names if find_family(name) == family] for family in [*FAMILIES, OTHERS]
    }
    members = {family: found for family, found in members.items() if found}
    step, most = BAR * len(arms) + 14, max(map(len, members.values()))
    if is_narrow():
        figure, panels = subplots(
            len(members),
            height=step * len(names) + 70 * len(members),
            squeeze=False,
            sharex=True,
            height_ratios=[len(found) for found in members.values()],
        )
    else:
        figure, panels = subplots(columns=len(members), height=step * most + 70, squeeze=False, sharex=True)
        figure.set_layout_engine(
            "constrained", wspace=0.06
        )  # names of one panel stand beside bars of another
    for axes, (family, found) in zip(panels.flat, members.items(), strict=True):
        axes.set_title(family.capitalize())
        axes.grid(False, axis="y")
        for place, name in enumerate(found):
            for i, (arm, errors) in enumerate(zip(arms, one.arms, strict=True)):
                error = read_error(errors, name)
                if error is None:
                    continue
                y = place + (i - (len(arms) - 1) / 2) * BAR / step
                length, sd = SHOWN * error.mean, SHOWN * (error.sd or 0)
                axes.barh(y, length, height=0.8 * BAR / step, color=arm.look.colour, alpha=0.85)
                axes.plot([length - sd, length + sd], [y, y], color=INK, linewidth=1)
        if one.reference:
            axes.axvline(SHOWN, color=AXIS, linewidth=1)
        axes.set_yticks(range(len(found)), [describe(name) for name in found], color=INK)
        axes.set_ylim((len(found) if is_narrow() else most) - 0.5, -0.5)
        axes.tick_params(labelbottom=True)
    panels.flat[0].set_xlim(left=0)
    return figure

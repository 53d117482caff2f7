"""Numbers as a reader wants them: percent, points, intervals, with a proper minus sign."""

from collections.abc import Sequence

ABSENT = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as percent without the sign: 0.5712 is 57.1."""
    return ABSENT if share is None else f"{100 * share:.{digits}f}"


def points(share: float | None) -> str:
    """A difference of shares in percentage points, always signed."""
    return ABSENT if share is None else f"{100 * share:+.1f}".replace("-", "−")


def interval(ends: Sequence[float] | None, *, signed: bool = False) -> str:
    """Both ends of an interval of shares, in percent or points."""
    if ends is None or any(end is None for end in ends):
        return ABSENT
    word = points if signed else percent
    return f"[{word(ends[0])}, {word(ends[1])}]"


def cosine(value: float) -> str:
    """A cosine with its sign and three digits."""
    return f"{value:+.3f}".replace("-", "−")

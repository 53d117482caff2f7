"""The circumstances of a run over all calls that went on with it: they may change, and change its numbers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from texneg.errors import InputError


@dataclass(frozen=True)
class Stretch:
    """Steps of a run that were made under the same circumstances."""

    step: int
    """Steps that were done before."""
    processes: int
    """Training processes, each with its own batch norm."""
    device: str
    """cpu or cuda; empty where an earlier version did not record it."""
    torch: str
    """Version of torch."""

    def differences(self, other: "Stretch") -> str:
        """List the circumstances that differ: `processes 2 -> 1`."""
        mine, theirs = asdict(self), asdict(other)
        names = [name for name in mine if name != "step" and mine[name] and mine[name] != theirs[name]]
        return ", ".join(f"{name} {mine[name]} -> {theirs[name]}" for name in names)


def read_history(record: Mapping[str, Any]) -> list[Stretch]:
    """Read the stretches of a run from its `config.json`; earlier versions kept the last one alone.

    Raises:
        InputError: they are damaged.
    """
    if "history" not in record:
        processes = record.get("processes")
        return [Stretch(0, processes, "", record.get("torch", ""))] if isinstance(processes, int) else []
    try:
        return [Stretch(*(entry[field.name] for field in fields(Stretch))) for entry in record["history"]]
    except (KeyError, TypeError):
        raise InputError(
            "the history in config.json is damaged; remove it there, or use another --out"
        ) from None


def extend_history(history: list[Stretch], now: Stretch) -> tuple[list[Stretch], str]:
    """Add the stretch that begins now; returns all whose steps count, and a warning where they differ.

    Steps after the last checkpoint were lost, and with them the stretches that began there.
    """
    kept = [stretch for stretch in history if stretch.step < now.step]
    changed = [found for stretch in reversed(kept) if (found := stretch.differences(now))]
    if not kept or kept[-1].differences(now):
        kept.append(now)
    if not changed:
        return kept, ""
    return kept, (
        f"from step {now.step} on: {changed[0]}; the numbers of this run will differ from those of a run that"
        " was made in one way throughout"
    )

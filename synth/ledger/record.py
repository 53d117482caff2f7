"""The record of a run: `config.json` in its ledger, the versions of its libraries, and its removal."""

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from texneg import __version__
from texneg.datasets.storage.json_files import parse_json
from texneg.datasets.storage.names import unescape
from texneg.datasets.storage.places import (
    Place,
    is_empty,
    list_dir,
    remove_all,
    remove_empty_folders,
    remove_tree,
    resolve,
)
from texneg.errors import InputError, RunFailed
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.plan.plan import Plan, Settings, load_plan, output_names

Versions = dict[str, str]
LIBRARIES = {
    "numpy": ("numpy",),
    "numba": ("numba",),
    "pillow": ("pillow",),
    "opencv": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless"),
    "pyarrow": ("pyarrow",),
    "tifffile": ("tifffile",),
}
"""Libraries that decide bytes, and the names under which each may be installed."""


@dataclass(frozen=True)
class Run:
    """A planned run."""

    ledger: Ledger
    plan: Plan
    settings: Settings
    src: str
    """Root of its inputs, absolute."""
    versions: Versions
    """Of the process that began it."""


@dataclass(frozen=True)
class Record:
    """The contents of `config.json`."""

    command: str
    src: str
    dst: str
    settings: Settings
    seed: int
    fingerprint: str
    created: str
    host: str
    versions: Versions = field(default_factory=dict)


def new_record(ledger: Ledger, settings: Settings, *, src: Place, command: str) -> Record:
    """The record of a run that begins now."""
    return Record(
        command=command,
        src=str(src),
        dst=str(resolve(ledger.dst)),
        settings=settings,
        seed=settings.seed,
        fingerprint=ledger.fingerprint,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        host=os.uname().nodename,
        versions=versions(),
    )


def open_record(ledger: Ledger) -> tuple[Ledger, Record]:
    """The ledger with the fingerprint of its run, and the run's record; see `load_record`."""
    record = load_record(ledger)
    return replace(ledger, fingerprint=record.fingerprint), record


def load_record(ledger: Ledger) -> Record:
    """Read `config.json`.

    Raises:
        InputError: there is no run, or one that cannot be read.
    """
    try:
        stored = parse_json(ledger.config.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{ledger.root} holds no run of texneg synth or corrupt; give the DST of one"
        ) from None
    except ValueError as error:
        raise InputError(
            f"{ledger.config} is damaged ({error}); remove {ledger.root} and {ledger.dst}"
        ) from None
    try:
        return Record(**{**stored, "settings": Settings.parse(stored["settings"])})
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{ledger.config} was written by another version of texneg ({error}); use that version,"
            f" or remove {ledger.root} and {ledger.dst}"
        ) from None


def clear(ledger: Ledger) -> None:
    """Delete the files that the ledger's plan lists, then the ledger; other files in DST stay.

    The markers go first and the plan last: whenever this is interrupted, nothing that is gone counts as done.

    Raises:
        InputError: DST is not empty and has no ledger that lists its files.
    """
    if not ledger.config.exists():
        if not is_empty(ledger.dst):
            raise InputError(
                f"{ledger.dst} is not empty and has no ledger {ledger.root}; choose an empty or a new folder"
            )
        return
    ledger, record = open_record(ledger)
    plan = load_plan(ledger.plan)
    for folder in ("done", "parts", "manifest"):
        remove_tree(ledger.root / folder)
    for shard in plan.shards:
        remove_all(ledger.dst / unescape(name) for name in output_names(plan, shard, record.settings))
    remove_all(list(ledger.temporaries()))
    remove_empty_folders(ledger.dst)
    ledger.config.unlink()
    for entry in list_dir(ledger.root):
        if entry.is_dir():
            remove_tree(ledger.root / entry.name)
        elif entry.name != ledger.lock.name:
            (ledger.root / entry.name).unlink()


def versions() -> Versions:
    """Versions of the libraries that decide bytes, in this process."""
    found = {name: _first_installed(distributions) for name, distributions in LIBRARIES.items()}
    return {"texneg": __version__, **found}


def _first_installed(distributions: tuple[str, ...]) -> str:
    for name in distributions:
        with suppress(PackageNotFoundError):
            return version(name)
    return "unknown"


def compare_versions(recorded: Versions, here: str, *, strict: bool) -> str:
    """One line that names each difference between this process and a run's record; empty without any.

    Args:
        recorded: of the run; a library that it does not name is not compared.
        here: name of this process.
        strict: refuse a difference.

    Raises:
        RunFailed: with `strict`, the line.
    """
    own = versions()
    other = [name for name in own if recorded.get(name, own[name]) != own[name]]
    if not other:
        return ""
    named = ", ".join(f"{name} {own[name]} (run: {recorded[name]})" for name in other)
    line = f"{here} has other versions than the run began with: {named}; bytes may differ"
    if strict:
        raise RunFailed(f"{line}; install the same, or leave --strict-versions out")
    return line

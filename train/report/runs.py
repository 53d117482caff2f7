"""Finished runs as a report reads them: folders, and the arms they belong to.

A run is a folder with `config.json` (written by `texneg pretrain`) and any of

    metrics.jsonl       curves of the pre-training
    probe.json          the linear probe          (texneg probe ... --out RUN)
    ood.json            test sets, shape bias     (texneg ood ... --out RUN)
    similarity.json     cosines of negatives      (texneg analyze similarity ... --out RUN)

Runs whose configurations differ in nothing but the seed, paths and logging form an arm. An arm is named by
its negatives and alpha, and by every other setting in which the arms differ. Its baseline is the arm without
non-semantic negatives whose other settings are the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from texneg.errors import InputError
from texneg.train.config import RUN_ONLY, Negatives, PretrainConfig

ASIDE = RUN_ONLY | {"seed", "recipe"}
KINDS: tuple[str, ...] = get_args(Negatives)
OPTIONS = {
    "patch": ("patch", "patch_overlap", "patch_flip", "patch_rotate"),
    "patch_permutation": ("patch", "patch_flip", "patch_rotate"),
    "texture_live": ("texture_method", "texture_exemplar"),
}
"""Settings that say how a kind of negative is made, and mean nothing without it."""
NEGATIVES = {"negatives", "mixture", "alpha", "count"}.union(*OPTIONS.values())


@dataclass(frozen=True)
class Run:
    """One folder."""

    path: Path
    settings: Mapping[str, Any]
    """the pre-training configuration"""
    record: Mapping[str, Any]
    """config.json as a whole: also command, version and machine where they were written"""
    metrics: Sequence[Mapping[str, Any]]
    probe: Mapping[str, Any] | None
    ood: Mapping[str, Any] | None
    similarity: Mapping[str, Any] | None

    @property
    def seed(self) -> int:
        """Of weights, order, views and negatives."""
        return int(self.settings.get("seed", 0))


@dataclass(frozen=True)
class Arm:
    """Runs that differ only in their seed."""

    label: str
    runs: tuple[Run, ...]
    """by seed, each seed once"""
    colour: int
    """0 for an arm without negatives, then 1, 2, ...: the same in every figure"""
    baseline: int | None
    """place of the arm it is compared with; None for a baseline"""

    @property
    def seeds(self) -> tuple[int, ...]:
        """In the order of the runs."""
        return tuple(run.seed for run in self.runs)


def read_run(folder: str) -> Run:
    """Read a run folder; a folder that is none raises `InputError`."""
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise InputError(
            f"{folder!r} is no run folder (no config.json); give folders made by texneg pretrain"
        )
    record = _json(path / "config.json")
    return Run(
        path=path,
        settings=record.get("config", record),
        record=record,
        metrics=_lines(path / "metrics.jsonl"),
        probe=_json(path / "probe.json") if (path / "probe.json").is_file() else None,
        ood=_json(path / "ood.json") if (path / "ood.json").is_file() else None,
        similarity=_json(path / "similarity.json") if (path / "similarity.json").is_file() else None,
    )


def group(runs: Sequence[Run]) -> list[Arm]:
    """Arms in a fixed order: by their other settings, then the kind of negatives, none first, then alpha."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_key({**_rest(run), **_negatives(run)}), []).append(run)
    members = sorted(groups.values(), key=lambda arm: _order(arm[0]))
    for arm in members:
        seeds = [run.seed for run in arm]
        if twice := {seed for seed in seeds if seeds.count(seed) > 1}:
            paths = ", ".join(str(run.path) for run in arm if run.seed in twice)
            raise InputError(
                f"the same settings and seed {min(twice)} occur more than once ({paths}); give each run once"
            )

    differing = _differing([arm[0] for arm in members])
    bases = {
        _key(_rest(arm[0])): i for i, arm in enumerate(members) if _negatives(arm[0])["negatives"] == "none"
    }
    arms, next_colour = [], 1
    for i, arm in enumerate(members):
        base = bases.get(_key(_rest(arm[0])))
        plain = i in bases.values()
        colour = 0 if plain and i == min(bases.values()) else next_colour
        next_colour += colour == next_colour
        by_seed = tuple(sorted(arm, key=lambda run: run.seed))
        arms.append(Arm(_label(arm[0], differing), by_seed, colour, None if plain else base))
    return arms


def shared_settings(runs: Sequence[Run]) -> dict[str, Any]:
    """The settings on which all runs agree, without paths and logging."""
    first = {key: value for key, value in runs[0].settings.items() if key not in ASIDE}
    return {key: value for key, value in first.items() if all(run.settings.get(key) == value for run in runs)}


def _negatives(run: Run) -> dict[str, Any]:
    """What an arm's negatives are; alpha and count mean nothing without any."""
    kind = str(run.settings.get("negatives", "none"))
    if kind == "none":
        return {"negatives": "none"}
    told = {"negatives": kind, "alpha": run.settings.get("alpha"), "count": run.settings.get("count", 1)}
    mixture = run.settings.get("mixture", ()) if kind == "mixture" else ()
    shares = {"mixture": tuple((name, share) for name, share in mixture)} if mixture else {}
    return {**told, **shares, **_options(run, [name for name, _ in mixture] or [kind])}


def _options(run: Run, kinds: Sequence[str]) -> dict[str, Any]:
    """How these kinds of negatives are made, where it is not the default."""
    default = PretrainConfig()
    names = [name for kind in kinds for name in OPTIONS.get(kind, ())]
    values = {name: run.settings.get(name, getattr(default, name)) for name in names}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def _rest(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run.settings.items() if key not in ASIDE and key not in NEGATIVES}


def _order(run: Run) -> tuple[str, int, float, int, str]:
    negatives = _negatives(run)
    kind = negatives["negatives"]
    place = KINDS.index(kind) if kind in KINDS else len(KINDS)
    return _key(_rest(run)), place, float(negatives.get("alpha") or 0), len(negatives), _key(negatives)


def _differing(firsts: Sequence[Run]) -> list[str]:
    """Settings, apart from the negatives, in which the arms differ."""
    rests = [_rest(run) for run in firsts]
    names = sorted({name for rest in rests for name in rest})
    return [name for name in names if len({_key(rest.get(name)) for rest in rests}) > 1]


def _label(run: Run, differing: Sequence[str]) -> str:
    negatives = _negatives(run)
    kind = negatives["negatives"]
    named = " + ".join(f"{share:g} {name}" for name, share in negatives.get("mixture", ())) or kind
    parts = ["baseline" if kind == "none" else f"{named} α={negatives['alpha']:g}"]
    if negatives.get("count", 1) != 1:
        parts.append(f"×{negatives['count']}")
    if negatives.get("patch"):
        parts.append("{}-{} px".format(*negatives["patch"]))
    options = [name for name in negatives if name not in ("negatives", "mixture", "alpha", "count", "patch")]
    parts += [f"{name}={run.settings.get(name)}" for name in (*options, *differing)]
    return " ".join(parts)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as JSON ({error}); run the verb that makes it again"
        ) from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object; run the verb that makes it again")
    return value


def _lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a metrics file; the last one may have been cut short by a kill."""
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows

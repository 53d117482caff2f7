"""Before the first texture: the input is there, the output may be written, and this run began here."""

import importlib.metadata
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from texneg import __version__
from texneg.datasets.atomic import write_json
from texneg.datasets.names import unescape
from texneg.datasets.sources import Source, open_source
from texneg.errors import InputError, RunFailed
from texneg.synth.config import SynthConfig, settings_of
from texneg.synth.ledger import Ledger
from texneg.synth.plan import Plan, load_plan, make_plan, out_name, read_items
from texneg.synth.settings import Settings

BYTES_PER_PIXEL = 1.2  # of a lossless texture, measured on photographs: 59 KiB at 224 px
REMOTE_CORES = 64  # assumed behind a scheduler's address when the plan is made
VERSIONED = ("numpy", "numba", "pillow", "opencv-python-headless", "pyarrow", "distributed")


@dataclass(frozen=True)
class Run:
    """A run that may start."""

    ledger: Ledger
    plan: Plan
    settings: Settings
    src: str
    resumed: bool


def inspect(config: SynthConfig) -> Source:
    """Check the command and open its source; writes nothing.

    Raises:
        InputError: naming what is wrong and what to do.
    """
    config.check()
    if config.scheduler is not None:
        from texneg.synth.cluster import check_address

        check_address(config.scheduler)
    source = open_source(config.src, splits=config.splits, naming=config.naming)
    _check_places(config, Path(config.dst), config.ledger_path)
    return source


def open_run(config: SynthConfig, source: Source) -> Run:
    """Make the plan, or find the run that this command resumes. The caller holds the lease.

    Raises:
        InputError: naming what is wrong and what to do.
    """
    settings = settings_of(config, source.kind)
    ledger = Ledger(config.ledger_path, Path(config.dst).absolute())
    if ledger.config.exists() and not config.overwrite:
        return _resume(config, source, settings, ledger)
    _clear(ledger)
    return _begin(config, source, settings, ledger)


def _check_places(config: SynthConfig, dst: Path, root: Path) -> None:
    src = Path(config.src).resolve()
    inside = src if src.is_dir() else None
    for name, path in (("DST", dst), ("the ledger", root)):
        if "://" in str(path):
            raise InputError(f"{path} is a URL; {name} must be a local path")
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file; {name} must be a folder")
        if inside is not None and path.resolve().is_relative_to(inside):
            raise InputError(f"{name} {path} lies inside SRC {config.src}; choose a folder outside of it")
    if root.resolve().is_relative_to(dst.resolve()):
        raise InputError(
            f"the ledger {root} lies inside DST {dst}, where loaders would read it; choose another --ledger"
        )


def _begin(config: SynthConfig, source: Source, settings: Settings, ledger: Ledger) -> Run:
    try:
        plan = make_plan(
            source,
            settings,
            ledger.plan,
            cores=REMOTE_CORES if config.scheduler else config.cores,
            part_size=config.part_size,
            shard_size=config.shard_size,
        )
    except InputError:
        shutil.rmtree(ledger.plan, ignore_errors=True)
        raise
    ledger = replace(ledger, fingerprint=settings.fingerprint(plan.digest))
    write_json(ledger.config, _record(config, settings, ledger))
    ledger.dst.mkdir(parents=True, exist_ok=True)
    return Run(ledger, plan, settings, str(source.root.absolute()), resumed=False)


def _record(config: SynthConfig, settings: Settings, ledger: Ledger) -> dict[str, Any]:
    return {
        "command": config.command(),
        "src": str(Path(config.src).resolve()),
        "dst": str(ledger.dst.resolve()),
        "settings": asdict(settings),
        "seed": config.seed,
        "fingerprint": ledger.fingerprint,
        "version": __version__,
        "versions": {name: importlib.metadata.version(name) for name in VERSIONED},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": os.uname().nodename,
    }


def _resume(config: SynthConfig, source: Source, settings: Settings, ledger: Ledger) -> Run:
    stored = load_record(ledger)
    differences = settings.differences(stored["settings"])
    if differences:
        raise InputError(
            f"{ledger.dst} was made with other settings ({'; '.join(differences)});"
            " repeat those, choose another DST, or remake it with --overwrite"
        )
    plan = load_plan(ledger.plan)
    if str(Path(config.src).resolve()) != stored["src"] and not _same_inputs(
        config, source, settings, ledger, plan
    ):
        raise InputError(
            f"{ledger.dst} was made from {stored['src']}, and {config.src} holds other images;"
            " choose another DST, or remake it with --overwrite"
        )
    ledger = replace(ledger, fingerprint=stored["fingerprint"])
    return Run(ledger, plan, settings, str(source.root.absolute()), resumed=True)


def load_record(ledger: Ledger) -> dict[str, Any]:
    """What `config.json` says about a run.

    Raises:
        InputError: there is no run.
    """
    try:
        return json.loads(ledger.config.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{ledger.root} holds no run of texneg synth; give the DST of one") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{ledger.config} is damaged ({error}); remove {ledger.root} and {ledger.dst}"
        ) from None


def _same_inputs(config: SynthConfig, source: Source, settings: Settings, ledger: Ledger, plan: Plan) -> bool:
    """Whether a moved source still gives the frozen plan."""
    folder = ledger.root / "plan-again"
    try:
        again = make_plan(
            source, settings, folder, cores=1, part_size=plan.part_size, shard_size=config.shard_size
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return again.digest == plan.digest


def _clear(ledger: Ledger) -> None:
    """Delete what the ledger's plan lists, then the ledger; other files in DST stay.

    The markers go first and the plan last: whenever this is cut short, nothing that is gone counts as done.

    Raises:
        InputError: no ledger, and DST is not empty: nothing says whose files they are.
    """
    if not ledger.config.exists():
        if ledger.dst.is_dir() and any(ledger.dst.iterdir()):
            raise InputError(
                f"{ledger.dst} is not empty and has no ledger {ledger.root}; choose an empty or a new folder"
            )
        return
    stored = load_record(ledger)
    settings, plan = Settings(**stored["settings"]), load_plan(ledger.plan)
    ledger = replace(ledger, fingerprint=stored["fingerprint"])
    for folder in ("done", "parts", "manifest"):
        shutil.rmtree(ledger.root / folder, ignore_errors=True)
    for shard in plan.shards:
        names = (
            [shard.tar]
            if shard.tar
            else (
                out_name(item, shard, settings, plan.source["kind"])
                for item in read_items(ledger.plan, shard)
            )
        )
        for name in names:
            (ledger.dst / unescape(name)).unlink(missing_ok=True)
    for path in list(ledger.temporaries()):
        path.unlink(missing_ok=True)
    for folder, _, _ in os.walk(ledger.dst, topdown=False):
        if not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    ledger.config.unlink()
    for path in ledger.root.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != ledger.lock:
            path.unlink()


def check_space(run: Run, images: int) -> None:
    """Compare the estimate for that many images with the free space.

    The parts of a tar and the tar that they are joined to are on disk at the same time.

    Raises:
        RunFailed: it will not fit.
    """
    joined = [shard.n for shard in run.plan.shards if shard.tar and run.plan.parts(shard) > 1]
    needed = estimated_bytes(images + max(joined, default=0), run.settings) if images else 0
    free = shutil.disk_usage(run.ledger.dst if run.ledger.dst.exists() else run.ledger.root).free
    if needed > free:
        raise RunFailed(
            f"about {needed / 1e6:.1f} MB to write and {free / 1e6:.1f} MB free at {run.ledger.dst};"
            " make room, choose another DST, or use a smaller --size or --limit"
        )


def estimated_bytes(images: int, settings: Settings) -> float:
    """Expected size of that many textures."""
    return images * BYTES_PER_PIXEL * settings.size**2

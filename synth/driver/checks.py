"""Values of a command line that cannot be meant, refused before anything is read or written."""

from dataclasses import fields

from texneg.datasets.storage.places import place, resolved
from texneg.errors import InputError
from texneg.synth.config import SynthConfig
from texneg.synth.ledger.manifest import STATUSES
from texneg.textures.presets import LARGEST_OUTPUT, METHODS, SMALLEST_EXEMPLAR, SMALLEST_OUTPUT

EXCLUSIVE = (
    ("dry_run", "plan_only", "task", "finalize"),
    ("scheduler", "cluster"),
    ("overwrite", "extend", "retry_quarantined", "task"),
    ("overwrite", "extend", "retry_quarantined", "finalize"),
    ("extend", "limit"),
    ("dry_run", "extend", "retry_quarantined"),
)
"""Options of which a command can have one of each group."""
SIDES = f"{SMALLEST_OUTPUT} to {LARGEST_OUTPUT} px"
LARGEST_EXEMPLAR = 2048  # px
PATCHES = f"{SMALLEST_EXEMPLAR} to {LARGEST_EXEMPLAR} px"


def check(config: SynthConfig) -> None:
    """Refuse values out of their range, and options that exclude each other.

    Raises:
        InputError: naming what was given and what is allowed.
    """
    if not config.src or not config.dst:
        raise InputError("give the images and a folder for the textures: texneg synth SRC DST")
    allowed: list[tuple[str, bool, str]] = [
        ("size", SMALLEST_OUTPUT <= config.size <= LARGEST_OUTPUT, SIDES),
        ("exemplar_size", SMALLEST_EXEMPLAR <= config.exemplar_size <= LARGEST_EXEMPLAR, PATCHES),
        ("seed", 0 <= config.seed < 1 << 64, "0 to 2^64 - 1"),
        ("method", config.method in METHODS, " or ".join(METHODS)),
        ("limit", config.limit is None or config.limit > 0, "1 or more"),
        ("shard_size", config.shard_size > 0, "1 or more"),
        ("part_size", config.part_size is None or config.part_size > 0, "1 or more"),
        ("workers", config.workers >= 0, "0 or more"),
        ("threads_per_worker", config.threads_per_worker >= 0, "0 or more"),
        ("jobs", config.jobs > 0, "1 or more"),
        ("max_error_rate", 0 <= config.max_error_rate <= 1, "0 to 1"),
        ("retries", config.retries >= 0, "0 or more"),
        ("drain_timeout", config.drain_timeout >= 0, "0 s or more"),
    ]
    for name, good, text in allowed:
        if not good:
            raise InputError(f"{_flag(name)} {getattr(config, name)}: allowed is {text}")
    for option in config.cluster_option:
        if not option.partition("=")[1]:
            raise InputError(f"--cluster-option {option}: allowed is name=value, such as cores=8")
    for status in config.retry_quarantined or ():
        if status not in STATUSES[1:]:
            known = ", ".join(STATUSES[1:])
            raise InputError(f"--retry-quarantined {status}: allowed is nothing, for all, or any of {known}")
    _check_together(config)
    _check_form(config)


def _check_form(config: SynthConfig) -> None:
    if config.layout == "paired" and (config.format == "folder" or config.preset):
        raise InputError("--layout paired puts images and textures into tars: use --format webdataset")
    if config.preset is None:
        return
    if config.format == "webdataset":
        raise InputError(f"--preset {config.preset} makes class folders: leave --format out")
    wanted = f"{config.src.rstrip('/')}-texture"
    if resolved(place(config.dst)) != resolved(place(wanted)):
        raise InputError(
            f"--preset {config.preset}: the published loader looks in {wanted}; give that as DST"
        )


def _check_together(config: SynthConfig) -> None:
    given = {field.name for field in fields(config) if getattr(config, field.name) != field.default}
    for group in EXCLUSIVE:
        clash = [name for name in group if name in given]
        if len(clash) > 1:
            raise InputError(f"{' and '.join(map(_flag, clash[:2]))} exclude each other; leave one out")
    jobs = [name for name in ("jobs", "cluster_option") if name in given]
    if jobs and config.cluster != "slurm":
        raise InputError(f"{_flag(jobs[0])} is for jobs of SLURM: add --cluster slurm, or leave it out")
    if config.share and (config.scheduler or config.cluster):
        raise InputError("--task needs no scheduler; leave --scheduler and --cluster out")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"

"""`texneg export`: a finished texture run as a data set that other libraries open, with its card."""

from dataclasses import asdict, dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from texneg.cli.console import format_bytes, out, plural
from texneg.cli.fields import Positional
from texneg.datasets.storage.atomic import write_bytes, write_errors
from texneg.datasets.storage.json_files import read_json, write_json
from texneg.datasets.storage.places import (
    Place,
    free_bytes,
    is_empty,
    is_inside,
    list_files,
    make_absolute,
    open_read,
    parse_place,
    size_of,
)
from texneg.datasets.storage.url import Url
from texneg.errors import InputError, RunFailed
from texneg.synth.config import ledger_path
from texneg.synth.export.formats import (
    LITDATA,
    PARQUET,
    Columns,
    FormatName,
)
from texneg.synth.export.samples import (
    survey_run,
)
from texneg.synth.export.writing import TAG, Export, finish, write_images, write_shards
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.record import Record, Run, open_record
from texneg.synth.plan.plan import load_plan

RECORD = "export.json"
MB = 1_000_000
LARGEST_SHARD = 4000
"""MB; litdata counts bytes of a chunk with 32 bits."""


@dataclass(frozen=True)
class ExportConfig:
    """Export a finished texture run for Hugging Face or litdata. Run the same command again to resume."""

    src: Positional[str]
    """Folder that texneg synth wrote."""
    dst: Positional[str]
    """New folder for the data set."""
    to: FormatName
    """parquet: shards for Hugging Face. litdata: chunks for its StreamingDataset. imagefolder: one file an
    image, and a table of pairs."""
    images: str | None = None
    """The images that the textures were made of, to export pairs. Tars of --layout paired hold them."""
    licence: str | None = None
    """Licence for the card, such as cc-by-4.0 or a line of your own."""
    shard_mb: int | None = None
    """Size of a shard, MB. Default: 500 for parquet, 64 for litdata."""
    ledger: str | None = None
    """The run's ledger, if it is not SRC.texneg."""

    def check(self) -> None:
        """Refuse values out of their range."""
        if self.shard_mb is not None and self.to == "imagefolder":
            raise InputError("--shard-mb is for parquet and litdata: leave it out")
        if self.shard_mb is not None and not 1 <= self.shard_mb <= LARGEST_SHARD:
            raise InputError(f"--shard-mb {self.shard_mb}: allowed is 1 to {LARGEST_SHARD}")
        if self.licence is not None and (not self.licence.strip() or "\n" in self.licence):
            raise InputError("--licence: give one line, such as cc-by-4.0")


@dataclass(frozen=True)
class Identity:
    """All that decides the bytes of an export but for its card; kept in DST while it grows and afterwards."""

    to: FormatName
    images: bool
    shard_mb: int | None
    manifest: str
    """sha256 of the run's manifest."""


def export(config: ExportConfig) -> int:
    """Copy a run's textures, and with pairs its images, into a data set with a card.

    Raises:
        InputError: no finished run of textures, or a DST that holds something else; nothing was written.
        RunFailed: outputs of the run are missing or changed, or DST cannot be written; the same command
            goes on.
    """
    config.check()
    run, record = open_finished(config)
    src, dst = parse_place(config.src), make_absolute(parse_place(config.dst))
    if is_inside(dst, src) or is_inside(src, dst) or is_inside(dst, run.ledger.root):
        raise InputError(f"{config.dst} and {config.src} lie in each other: give a DST of its own")
    paired, pixels = run.settings.layout == "paired", run.settings.pixels
    if pixels and config.to != "litdata":
        raise InputError(
            f"{config.src} holds textures of {pixels} as {run.settings.encoding}, and readers of {config.to}"
            " expect RGB of 8 bits: use --to litdata, which keeps the files as they are"
        )
    if config.images is not None and paired:
        raise InputError(f"{config.src} holds the images beside their textures: leave --images out")
    if config.images is not None and not parse_place(config.images).exists():
        raise InputError(f"--images {config.images} does not exist; give the images that texneg synth read")
    form = {"parquet": PARQUET, "litdata": LITDATA}.get(config.to)
    shard_mb = config.shard_mb or (form.shard_mb if form else None)
    with_images = paired or config.images is not None
    with open_read(run.ledger.manifest) as stream:
        digest = file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    survey = survey_run(run, images=with_images)
    if not survey.samples:
        raise InputError(f"{config.src} holds no texture: no image of the run could be used")
    with write_errors(Path(str(dst)), "it goes on"):
        claim(dst, Identity(config.to, with_images, shard_mb, digest), config.dst)
        columns = Columns(with_images, survey.classes)
        job = Export(run, dst, columns, survey, config.images, paired)
        check_space(job)
        if form is not None:
            shards = write_shards(job, form, (shard_mb or 0) * MB)
            sums = [(shard.path, shard.sha256) for shard in shards]
            for path, data in form.make_index(shards, columns, (shard_mb or 0) * MB):
                write_bytes(dst / path, data, tag=TAG)
                sums.append((path, sha256(data).hexdigest()))
        else:
            shards = write_images(job)
            sums = None
        finish(job, record, config.to, config.licence, shards, sums)
    total = sum(survey.sizes.values())
    noun = "pair" if with_images else "texture"
    out(
        f"{plural(survey.samples, noun)}, {format_bytes(total)}, in {config.dst} as {config.to};"
        f" card: {config.dst}/README.md"
    )
    return 0


def open_finished(config: ExportConfig) -> tuple[Run, Record]:
    """Open the run, which must be one of textures and finished."""
    ledger, record = open_record(Ledger(ledger_path(config.src, config.ledger), parse_place(config.src)))
    if record.settings.corrupting:
        raise InputError(f"{config.src} holds corrupted images; texneg export takes what texneg synth wrote")
    if not ledger.manifest.exists():
        raise InputError(f"the run in {config.src} is not finished; finish it: {record.command}")
    plan = load_plan(ledger.plan)
    return Run(ledger, plan, record.settings, record.src, record.versions), record


def claim(dst: Place, identity: Identity, name: str) -> None:
    """Mark DST as this export's; refuse one that holds anything else.

    Raises:
        InputError: naming the remedy.
    """
    path = dst / RECORD
    if not path.exists():
        if not is_empty(dst):
            raise InputError(f"{name} is not empty and holds no export; give an empty or a new folder")
        write_json(path, asdict(identity), tag=TAG)
        return
    stored, own = read_json(path, remedy=f"remove {name}"), asdict(identity)
    if other := [f"{key} {stored.get(key)} -> {own[key]}" for key in own if stored.get(key) != own[key]]:
        raise InputError(
            f"{name} holds another export ({', '.join(other)}): give the options of that one, or another DST"
        )


def check_space(job: Export) -> None:
    """Refuse a disk without room for what is missing; a store has no limit.

    Raises:
        RunFailed: naming how much is missing.
    """
    if isinstance(job.dst, Url):
        return
    here = sum(size_of(job.dst / name) for name in list_files(job.dst))
    needed, free = sum(job.survey.sizes.values()) - here, free_bytes(job.dst)
    if needed > free:
        raise RunFailed(
            f"{job.dst} needs {format_bytes(needed)} more and has {format_bytes(free)}: make room, then run"
            " the same command again"
        )

"""The files of an export: shards that are missing, tables of pictures, the card and the checksums."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import PurePosixPath
from typing import BinaryIO

from texneg.cli.console import info
from texneg.cli.progress import Progress
from texneg.datasets.storage.atomic import atomic_file, write_bytes, write_many
from texneg.datasets.storage.places import Place, list_files, list_sizes, open_read, remove_all, size_of
from texneg.synth.export.card import make_card
from texneg.synth.export.formats import Columns, Format, FormatName, WrittenShard, write_metadata
from texneg.synth.export.samples import ONLY_SPLIT, Sample, Survey, iterate_samples, load_samples
from texneg.synth.ledger.record import Record, Run

TAG = "export"
FILES_AT_A_TIME = 200


@dataclass(frozen=True)
class Export:
    """An export under way."""

    run: Run
    dst: Place
    columns: Columns
    survey: Survey
    images: str | None
    paired: bool

    def samples(self, split: str) -> Iterator[Sample]:
        """The samples of a split in order."""
        return iterate_samples(self.run, split, self.images, paired=self.paired)


def split_name(split: str) -> str:
    """Name of a split in the data set."""
    return split or ONLY_SPLIT


def group_samples(samples: Iterator[Sample], limit: int) -> Iterator[list[Sample]]:
    """Group samples in order, each group as large as it can be within `limit` bytes, or one sample."""
    group: list[Sample] = []
    size = 0
    for sample in samples:
        if group and size + sample.size > limit:
            yield group
            group, size = [], 0
        group.append(sample)
        size += sample.size
    if group:
        yield group


def write_shards(job: Export, form: Format, limit: int) -> list[WrittenShard]:
    """Write the shards that are missing, and check those that are there against their checksums."""
    known = read_sums(job.dst)
    shards: list[WrittenShard] = []
    with Progress(job.survey.samples) as progress:
        for split in job.survey.counts:
            for number, samples in enumerate(group_samples(job.samples(split), limit)):
                path = form.name(split_name(split), number)
                found = hash_file(job.dst / path)
                if found is None or known.get(path, found[1]) != found[1]:
                    if found is not None:
                        info(f"{path} is not as it was written; it is made again")
                    with atomic_file(job.dst / path, tag=TAG) as file:
                        form.write(file, samples, load_samples(samples), job.columns)
                    found = hash_file(job.dst / path)
                    assert found is not None
                shards.append(WrittenShard(path, split_name(split), len(samples), *found))
                progress.advance(len(samples))
    return shards


def write_images(job: Export) -> list[WrittenShard]:
    """Write the files of an imagefolder that are missing, then the table of each split."""
    tables = []
    with Progress(job.survey.samples) as progress:
        for split in job.survey.counts:
            folder = job.dst / split_name(split)
            group: list[Sample] = []
            for sample in job.samples(split):
                group.append(sample)
                if len(group) == FILES_AT_A_TIME:
                    _write_files(folder, group, job.columns)
                    progress.advance(len(group))
                    group = []
            _write_files(folder, group, job.columns)
            progress.advance(len(group))
            path = f"{split_name(split)}/metadata.jsonl"
            with atomic_file(job.dst / path, tag=TAG) as file:
                write_metadata(file, job.samples(split), job.columns)
            found = hash_file(job.dst / path)
            assert found is not None
            tables.append(WrittenShard(path, split_name(split), job.survey.counts[split], *found))
    return tables


def _write_files(folder: Place, samples: list[Sample], columns: Columns) -> None:
    """Write the pictures of samples that are not there in their size."""
    wanted = [
        (folder / kind / file.name, file)
        for sample in samples
        for kind, file in zip(("textures", "images"), sample.files, strict=False)
    ]
    sizes = {parent: dict(list_sizes(parent)) for parent in {path.parent for path, _ in wanted}}
    missing = [(path, file) for path, file in wanted if sizes[path.parent].get(path.name) != file.size]
    write_many([(path, file.read()) for path, file in missing], tag=TAG)


def hash_file(place: Place) -> tuple[int, str] | None:
    """Size and sha256 of a file; None if there is none."""
    size = size_of(place)
    if size < 0:
        return None
    with open_read(place) as stream:
        return size, file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def read_sums(dst: Place) -> dict[str, str]:
    """The checksums of an export that was finished before; none of one that was not."""
    place = dst / "SHA256SUMS"
    lines = place.read_bytes().decode().splitlines() if place.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def finish(
    job: Export,
    record: Record,
    to: FormatName,
    licence: str | None,
    shards: list[WrittenShard],
    sums: list[tuple[str, str]] | None,
) -> None:
    """Write the card and, last, the checksums; remove what kills left behind."""
    survey = job.survey
    named = Survey(
        {split_name(split): n for split, n in survey.counts.items()},
        {split_name(split): n for split, n in survey.sizes.items()},
        survey.classes,
        survey.statuses,
        survey.formats,
    )
    name = PurePosixPath(str(job.dst)).name
    card = make_card(name, to, job.columns, named, shards, record, licence).encode()
    write_bytes(job.dst / "README.md", card, tag=TAG)
    remove_all(
        job.dst / path
        for path in list_files(job.dst)
        if (last := path.rpartition("/")[2]).startswith(".") and f".{TAG}-" in last and last.endswith(".tmp")
    )
    with atomic_file(job.dst / "SHA256SUMS", tag=TAG) as file:
        if sums is None:
            _write_image_sums(file, job)
            sums = [(shard.path, shard.sha256) for shard in shards]
        for path, digest in [*sums, ("README.md", sha256(card).hexdigest())]:
            file.write(f"{digest}  {path}\n".encode())


def _write_image_sums(file: BinaryIO, job: Export) -> None:
    for split in job.survey.counts:
        for sample in job.samples(split):
            for kind, one in zip(("textures", "images"), sample.files, strict=False):
                file.write(f"{one.sha256.hex()}  {split_name(split)}/{kind}/{one.name}\n".encode())

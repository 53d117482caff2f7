"""The formats of an export: Parquet as Hugging Face reads it, chunks of litdata, and a folder of images.

Each is a function from samples to the bytes of one shard. Encoded pictures are copied, never encoded again,
and equal samples give equal bytes; those of Parquet depend on the version of pyarrow, too.
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any, BinaryIO, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from texneg.datasets.storage.json_files import to_json
from texneg.datasets.storage.names import plain_name
from texneg.synth.export.samples import Loaded, Sample

FormatName = Literal["parquet", "litdata", "imagefolder"]
ROWS = 100
"""Samples in a row group of Parquet: few enough to be read one by one over a network."""
NO_CLASS = -1


@dataclass(frozen=True)
class Columns:
    """The columns of a data set."""

    images: bool
    classes: tuple[str, ...]

    def label_of(self, sample: Sample) -> int | None:
        """Number of a sample's class; None without one."""
        return None if sample.label is None else self.classes.index(sample.label)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes as text."""
        return [plain_name(name) or name for name in self.classes]

    @property
    def pictures(self) -> list[str]:
        """Names of the columns that hold pictures."""
        return ["image", "texture"] if self.images else ["texture"]


class WrittenShard(NamedTuple):
    """A shard as it lies in the export."""

    path: str
    """Below the export, with slashes."""
    split: str
    samples: int
    bytes: int
    sha256: str


class Format(NamedTuple):
    """A format whose samples go into large files."""

    shard_mb: int
    """Default size of a shard."""
    name: Callable[[str, int], str]
    """Path of a shard, from its split and its number in it."""
    write: Callable[[BinaryIO, Sequence[Sample], Iterator[Loaded], Columns], None]
    """Write a shard of these samples."""
    make_index: Callable[[Sequence[WrittenShard], Columns, int], Iterator[tuple[str, bytes]]]
    """Path and contents of the files that name the shards, from these and the size of a shard."""


def write_parquet(
    file: BinaryIO, samples: Sequence[Sample], loaded: Iterator[Loaded], columns: Columns
) -> None:
    """Write a Parquet file whose schema says which columns are pictures and what the classes are called."""
    schema = parquet_schema(columns)
    with pq.ParquetWriter(file, schema, compression="none", use_dictionary=False) as writer:
        while rows := [_parquet_row(one, columns) for one in islice(loaded, ROWS)]:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def parquet_schema(columns: Columns) -> pa.Schema:
    """The schema, with the features under the key that Hugging Face's datasets reads."""
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [(name, picture) for name in columns.pictures] + [("key", pa.string())]
    if columns.classes:
        fields.append(("label", pa.int64()))
    features: dict[str, Any] = {name: {"_type": "Image"} for name in columns.pictures}
    features["key"] = {"dtype": "string", "_type": "Value"}
    if columns.classes:
        features["label"] = {"names": columns.class_names, "_type": "ClassLabel"}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _parquet_row(loaded: Loaded, columns: Columns) -> dict[str, Any]:
    sample, texture, image = loaded
    row: dict[str, Any] = {"texture": {"bytes": texture, "path": sample.texture.name}, "key": sample.key}
    if sample.image is not None:
        row["image"] = {"bytes": image, "path": sample.image.name}
    if columns.classes:
        row["label"] = columns.label_of(sample)
    return row


def write_chunk(
    file: BinaryIO, samples: Sequence[Sample], loaded: Iterator[Loaded], columns: Columns
) -> None:
    """Write a chunk of litdata: number of items, offset of each and of the end, then the items.

    An item is the sizes of its leaves, then the leaves. All numbers are little-endian and of 32 bits.
    """
    leaves = _leaf_formats(columns)
    fixed = 4 * len(leaves) + (8 if columns.classes else 0)
    sizes = [fixed + len(sample.key.encode()) + sample.size for sample in samples]
    offsets = list(accumulate(sizes, initial=4 * (len(samples) + 2)))
    file.write(struct.pack(f"<{len(offsets) + 1}I", len(samples), *offsets))
    for sample, texture, image in loaded:
        values: dict[str, bytes] = {"texture": texture, "image": image or b"", "key": sample.key.encode()}
        if columns.classes:
            label = columns.label_of(sample)
            values["label"] = struct.pack("<q", NO_CLASS if label is None else label)
        parts = [values[name] for name in leaves]
        file.write(struct.pack(f"<{len(parts)}I", *map(len, parts)))
        file.writelines(parts)


def index_chunks(
    shards: Sequence[WrittenShard], columns: Columns, shard_bytes: int
) -> Iterator[tuple[str, bytes]]:
    """Make the index of each split, by which litdata finds its chunks."""
    leaves = _leaf_formats(columns)
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
    spec = {
        "type": "builtins.dict",
        "context": json.dumps(list(leaves)),
        "children_spec": [leaf] * len(leaves),
    }
    config = {
        "chunk_bytes": shard_bytes,
        "chunk_size": None,
        "compression": None,
        "data_format": list(leaves.values()),
        "data_spec": json.dumps([1, spec]),
        "encryption": None,
        "item_loader": "PyTreeLoader",
    }
    for split in dict.fromkeys(shard.split for shard in shards):
        chunks = [
            {
                "chunk_bytes": shard.bytes,
                "chunk_size": shard.samples,
                "dim": None,
                "filename": shard.path.rpartition("/")[2],
            }
            for shard in shards
            if shard.split == split
        ]
        # A time of writing belongs there; a constant keeps the bytes equal.
        yield f"{split}/index.json", to_json({"chunks": chunks, "config": config, "updated_at": "0"})


def _leaf_formats(columns: Columns) -> dict[str, str]:
    """Columns in their order, each with litdata's name of its type."""
    formats = {**dict.fromkeys(columns.pictures, "bytes"), "key": "str"}
    return {**formats, "label": "int"} if columns.classes else formats


def write_metadata(file: BinaryIO, samples: Iterable[Sample], columns: Columns) -> None:
    """Write the lines that tell Hugging Face's imagefolder which files and which class belong together."""
    for sample in samples:
        line: dict[str, Any] = {"texture_file_name": f"textures/{sample.texture.name}", "key": sample.key}
        if sample.image is not None:
            line["image_file_name"] = f"images/{sample.image.name}"
        if columns.classes:
            line["label"] = None if sample.label is None else plain_name(sample.label) or sample.label
        file.write(to_json(line, indent=None))


PARQUET = Format(
    500, lambda split, number: f"data/{split}-{number:05d}.parquet", write_parquet, lambda *_: iter(())
)
LITDATA = Format(64, lambda split, number: f"{split}/chunk-0-{number}.bin", write_chunk, index_chunks)

"""The tables of a run: one row per input, in plan order, enough to check or remake every texture."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from texneg.datasets.storage.places import Place, open_read

Row = dict[str, Any]

STATUSES = (
    "ok",
    "too_small",
    "decode_error",
    "truncated",
    "empty",
    "too_large",
    "unsupported",
    "unsafe_path",
    "duplicate_key",
    "timeout",
    "worker_killed",
    "synth_error",
)

SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # path below the split without suffix, or tar key
        ("split", pa.string()),
        ("label", pa.string()),
        ("shard", pa.int32()),
        ("index", pa.int32()),  # place in the shard
        ("src", pa.string()),  # path below SRC, or tar::member
        ("src_bytes", pa.int64()),
        ("src_sha256", pa.binary(32)),
        ("width", pa.int32()),  # as found in the file, like the four below
        ("height", pa.int32()),
        ("mode", pa.string()),
        ("format", pa.string()),
        ("exif_orientation", pa.int8()),
        ("status", pa.string()),  # one of STATUSES
        ("error", pa.string()),  # reason in words
        ("image_seed", pa.uint64()),
        ("patch_size", pa.int16()),
        ("patch_a_x", pa.int32()),  # the centre patch's left edge, px
        ("patch_a_y", pa.int32()),
        ("patch_b_x", pa.int32()),  # the random patch's
        ("patch_b_y", pa.int32()),
        ("out", pa.string()),  # path below DST, or tar::member; null unless ok, like all below
        ("out_offset", pa.int64()),  # of the data inside the tar
        ("out_bytes", pa.int32()),
        ("out_sha256", pa.binary(32)),
        ("pixels_blake2b", pa.binary(16)),  # of the decoded pixels: survives a change of encoder
        ("method", pa.string()),
        ("method_version", pa.int16()),
    ]
)


def to_parquet(rows: list[Row]) -> bytes:
    """Rows as one Parquet file; absent fields are null."""
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()


def read_rows(path: Place) -> list[Row]:
    """All rows of a small Parquet file of this schema."""
    return to_table(path.read_bytes()).to_pylist()


def iterate_rows(path: Place) -> Iterator[Row]:
    """Rows of a manifest, a row group at a time."""
    with open_read(path) as stream, pq.ParquetFile(stream) as file:
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group).to_pylist()


def to_table(data: bytes) -> pa.Table:
    """The table that a small Parquet file of this schema holds."""
    return pq.read_table(BytesIO(data), schema=SCHEMA)


def table_writer(file: Any) -> pq.ParquetWriter:
    """Writes tables of this schema to one file, a row group each."""
    return pq.ParquetWriter(file, SCHEMA, compression="zstd")

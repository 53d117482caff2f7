"""The tables of a run: one row per input, in plan order, enough to check or remake every texture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from typing import Annotated, Any, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from texneg.datasets.storage.places import Place, open_read


class Status(StrEnum):
    """The fate of an image: it has a texture, or a reason why there is none."""

    OK = "ok"
    TOO_SMALL = "too_small"
    DECODE_ERROR = "decode_error"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    UNSAFE_PATH = "unsafe_path"
    DUPLICATE_KEY = "duplicate_key"
    DOTTED_NAME = "dotted_name"
    TIMEOUT = "timeout"
    WORKER_KILLED = "worker_killed"
    SYNTH_ERROR = "synth_error"


@dataclass(kw_only=True)
class Row:
    """One input and its texture; the annotations are the columns of the tables."""

    key: Annotated[str, pa.string()]  # path below the split without suffix, or tar key
    split: Annotated[str, pa.string()]
    label: Annotated[str | None, pa.string()]
    shard: Annotated[int, pa.int32()]
    index: Annotated[int, pa.int32()]  # position in the shard
    src: Annotated[str, pa.string()]  # path below SRC, or `tar::member`, percent-escaped
    src_name: Annotated[str | None, pa.string()] = None  # the same unescaped; null where that is no text
    src_bytes: Annotated[int, pa.int64()]
    src_sha256: Annotated[bytes | None, pa.binary(32)] = None
    width: Annotated[int | None, pa.int32()] = None  # as found in the file, like the four below
    height: Annotated[int | None, pa.int32()] = None
    mode: Annotated[str | None, pa.string()] = None
    format: Annotated[str | None, pa.string()] = None
    exif_orientation: Annotated[int | None, pa.int8()] = None
    status: Annotated[Status, pa.string()] = Status.OK
    error: Annotated[str | None, pa.string()] = None  # the reason in words
    image_seed: Annotated[int, pa.uint64()]
    patch_size: Annotated[int | None, pa.int16()] = None
    patch_a_x: Annotated[int | None, pa.int32()] = None  # left edge of the centre patch, px
    patch_a_y: Annotated[int | None, pa.int32()] = None
    patch_b_x: Annotated[int | None, pa.int32()] = None  # left edge of the random patch, px
    patch_b_y: Annotated[int | None, pa.int32()] = None
    patch_c_x: Annotated[int | None, pa.int32()] = None  # of turned squares: a and b about the centre,
    patch_c_y: Annotated[int | None, pa.int32()] = None  # c and d anywhere
    patch_d_x: Annotated[int | None, pa.int32()] = None
    patch_d_y: Annotated[int | None, pa.int32()] = None
    leak: Annotated[float | None, pa.float64()] = None  # with a limit: cosine of its and the image's features
    leak_try: Annotated[int | None, pa.int16()] = None  # the try that was taken, from 0
    patch_turns: Annotated[str | None, pa.string()] = None  # of a, b, c and d, each 0 to 7
    # Null unless the status is ok, as far as pixels_blake2b.
    out: Annotated[str | None, pa.string()] = None  # path below DST, or `tar::member`, percent-escaped
    out_name: Annotated[str | None, pa.string()] = None  # the same unescaped; null where that is no text
    out_offset: Annotated[int | None, pa.int64()] = None  # position of the data inside the tar
    out_bytes: Annotated[int | None, pa.int32()] = None
    out_sha256: Annotated[bytes | None, pa.binary(32)] = None
    pixels_blake2b: Annotated[bytes | None, pa.binary(16)] = None  # decoded: survives a change of encoder
    method: Annotated[str, pa.string()]
    method_version: Annotated[int, pa.int16()]

    @property
    def ok(self) -> bool:
        """True if the image has its texture, or nothing has gone wrong so far."""
        return self.status == Status.OK


SCHEMA = pa.schema(
    [(name, hint.__metadata__[0]) for name, hint in get_type_hints(Row, include_extras=True).items()]
)


def to_parquet(rows: Sequence[Row]) -> bytes:
    """Encode rows as one Parquet file."""
    buffer = BytesIO()
    table = pa.Table.from_pylist([vars(row) for row in rows], schema=SCHEMA)
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def to_table(data: bytes) -> pa.Table:
    """Decode a small Parquet file of this schema."""
    return pq.read_table(BytesIO(data), schema=SCHEMA)


def to_rows(table: pa.Table) -> list[Row]:
    """The rows of a table of this schema."""
    return [Row(**{**values, "status": Status(values["status"])}) for values in table.to_pylist()]


def read_rows(path: Place) -> list[Row]:
    """Read all rows of a small Parquet file of this schema."""
    return to_rows(to_table(path.read_bytes()))


def iterate_rows(path: Place) -> Iterator[Row]:
    """Read the rows of a manifest, a row group at a time."""
    with open_read(path) as stream, pq.ParquetFile(stream) as file:
        for group in range(file.num_row_groups):
            yield from to_rows(file.read_row_group(group))


def table_writer(file: Any) -> pq.ParquetWriter:
    """A writer of tables of this schema to one file, a row group each."""
    return pq.ParquetWriter(file, SCHEMA, compression="zstd")

"""Compressed tars, which can be read in order but not from any place."""

import bz2
import gzip
import importlib
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from texneg.datasets.storage.places import Place, open_read
from texneg.errors import InputError

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".tgz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
COMPRESSED = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, OSError)
"""Errors of a stream that is cut short or damaged; an OSError of that kind has no errno."""


def is_compressed(name: str) -> bool:
    """True if a file of this name is a compressed tar."""
    return name.lower().endswith(COMPRESSED)


def plain_tar_name(name: str) -> str:
    """Replace the suffix of a compressed tar by `.tar`."""
    suffix = next((suffix for suffix in COMPRESSED if name.lower().endswith(suffix)), None)
    return name if suffix is None else f"{name[: -len(suffix)]}.tar"


@contextmanager
def open_stream(where: Place) -> Iterator[BinaryIO]:
    """Open a tar to read from its beginning, decompressed. Seeking forward reads all bytes on the way.

    Raises:
        InputError: Zstandard, and this Python cannot read it; or a server that gives no spans of a tar.
    """
    with open_read(where) as file:
        if not is_compressed(where.name):
            if not file.seekable():
                raise InputError(f"{where} is served only as a whole: copy it to disk first")
            yield file
            return
        with _opener(where)(file, "rb") as stream:
            yield stream


def _opener(where: Place) -> Any:
    suffix = f".{where.name.lower().rpartition('.')[2]}"
    if suffix in _OPENERS:
        return _OPENERS[suffix]
    try:
        return importlib.import_module("compression.zstd").open
    except ImportError:
        raise InputError(f"{where}: Zstandard needs Python 3.14; or decompress it with unzstd") from None

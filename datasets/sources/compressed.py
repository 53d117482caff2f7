"""Compressed tars, which can be read in order but not from any place."""

import bz2
import gzip
import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from texneg.datasets.storage.places import Place, open_read
from texneg.errors import InputError

COMPRESSED = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, OSError)
"""Errors of a stream that is cut short or damaged; an OSError of that kind has no errno."""
_READ = 64 * 1024


def is_compressed(name: str) -> bool:
    """True if a file of this name is a compressed tar."""
    return name.lower().endswith(COMPRESSED)


def is_tar(name: str) -> bool:
    """True if a file of this name is a tar, compressed or not."""
    return name.lower().endswith((".tar", *COMPRESSED))


def plain_tar_name(name: str) -> str:
    """Replace the suffix of a tar, such as `.tar.gz` or `.TAR`, by `.tar`."""
    suffix = next((suffix for suffix in (".tar", *COMPRESSED) if name.lower().endswith(suffix)), None)
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
        if where.name.lower().endswith(("gz", "tgz")):
            with gzip.open(file, "rb") as stream:
                yield cast(BinaryIO, stream)
        else:
            yield cast(BinaryIO, io.BufferedReader(_Decompressed(file, _decompressor(where)), _READ))


def _decompressor(where: Place) -> Callable[[], Any]:
    name = where.name.lower()
    if name.endswith(".xz"):
        return lzma.LZMADecompressor
    if name.endswith(".bz2"):
        return bz2.BZ2Decompressor
    try:
        return importlib.import_module("compression.zstd").ZstdDecompressor
    except ImportError:
        raise InputError(f"{where}: Zstandard needs Python 3.14; or decompress it with unzstd") from None


class _Decompressed(io.RawIOBase):
    """All compressed streams of a file, one after the other, to its last byte.

    The readers of the standard library take what follows a stream and is none for its end, without a word.
    """

    def __init__(self, file: BinaryIO, decompressor: Callable[[], Any]) -> None:
        self._file, self._decompressor = file, decompressor
        self._begin()

    def _begin(self) -> None:
        self._file.seek(0)
        self._stream = self._decompressor()
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte, from the beginning or from here: forward by reading, back by reading it all again."""
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if target < self._position:
            self._begin()
        while self._position < target and self.read(min(target - self._position, _READ)):
            pass
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = b""
        while not data and view:
            if self._stream.eof:
                rest = self._next_stream()
                if not rest:
                    return 0
                self._stream = self._decompressor()
                place = self._file.tell() - len(rest)
                data = self._decompress(rest, len(view), f"what follows byte {place} is no compressed stream")
                continue
            more = self._file.read(_READ) if self._stream.needs_input else b""
            if self._stream.needs_input and not more:
                raise EOFError("the compressed file ends before its end mark")
            data = self._decompress(more, len(view), "the compressed data are damaged")
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _decompress(self, data: bytes, size: int, reason: str) -> bytes:
        try:
            return bytes(self._stream.decompress(data, size))
        except MemoryError:
            raise
        except Exception as error:  # each library has its own
            raise OSError(f"{reason}: {error}") from error

    def _next_stream(self) -> bytes:
        """The beginning of what follows a stream and the zeros behind it; empty at the end of the file."""
        rest = bytes(self._stream.unused_data).lstrip(b"\0")
        while not rest and (more := self._file.read(_READ)):
            rest = more.lstrip(b"\0")
        return rest

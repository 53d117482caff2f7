"""Objects of a remote store, with the few methods of `pathlib.Path` that a data set and a ledger need.

A store has no folders to make, nothing to rename and nothing to append to: an object is put whole or not at
all, and a folder is whatever begins with its name and a slash. Requests go through fsspec.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from texneg.datasets.storage.names import escape
from texneg.errors import InputError

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
_BLOCK = 64 * 1024  # bytes of one request while something is read from its beginning
_WHOLE = 64 * 2**20  # a larger file goes to the store in several requests, which it joins at the end


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing; like `os.DirEntry`."""

    name: str
    folder: bool
    size: int | None
    """None for a broken link, of which stores have none."""

    def is_dir(self) -> bool:
        """True if objects lie below it."""
        return self.folder

    def is_file(self) -> bool:
        """True if it is an object."""
        return not self.folder and self.size is not None

    def is_symlink(self) -> bool:
        """True if it is a broken link."""
        return self.size is None


@dataclass(frozen=True)
class Url:
    """An object, or the folder of those whose names begin with it. Opens nothing until it is used."""

    text: str
    """`scheme://...`, without a slash at the end."""

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> "Url":
        return Url(f"{self.text}/{name if name.isascii() else escape_for_store(name)}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.text.rpartition("/")[2]

    @property
    def parent(self) -> "Url":
        """The place above."""
        return Url(self.text.rpartition("/")[0])

    @property
    def scheme(self) -> str:
        """The part before `://`."""
        return self.text.partition("://")[0]

    @property
    def is_bucket(self) -> bool:
        """True if nothing follows the name of the bucket or host."""
        return "/" not in self._path

    @property
    def _path(self) -> str:
        return self.text.partition("://")[2]

    def exists(self) -> bool:
        """True if there is an object of this name, or one below it."""
        return self._kind() != ""

    def is_dir(self) -> bool:
        """True if there are objects below."""
        return self._kind() == "directory"

    def is_file(self) -> bool:
        """True if there is an object of this name."""
        return self._kind() == "file"

    def _kind(self) -> str:
        try:
            return str(self._call("info", fresh=True)["type"])
        except FileNotFoundError:
            return ""

    def size(self) -> int:
        """The size of the object in bytes."""
        return int(self._call("info", fresh=True)["size"])

    def read_bytes(self) -> bytes:
        """Read the whole object."""
        return bytes(self._call("cat_file"))

    def read_range(self, offset: int, size: int) -> bytes:
        """Read `size` bytes from `offset` on; fewer where the object ends.

        Raises:
            OSError: also where a server gives no spans.
        """
        if not size:
            return b""
        try:
            data = bytes(self._call("cat_file", start=offset, end=offset + size))
        except OSError:  # a span that begins where the object ends is an error in some stores
            if self.size() > offset:
                raise
            return b""
        if len(data) > size:
            raise OSError(f"{self} is served only as a whole: copy it to disk first")
        return data

    def open_read(self) -> BinaryIO:
        """Open the object for reading in small blocks; it can seek where the server gives spans."""
        return self._call("open", "rb", block_size=_BLOCK, cache_type="readahead", fresh=True)

    def put(self, data: bytes) -> None:
        """Make or replace the object, in one request."""
        self._call("pipe_file", data)

    def put_file(self, path: Path) -> None:
        """Make or replace the object from a file's content."""
        if path.stat().st_size <= _WHOLE:
            self.put(path.read_bytes())
        else:
            self._ask(lambda fs: fs.put_file(str(path), self.text))

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        try:
            self._call("rm_file")
        except FileNotFoundError:
            if not missing_ok:
                raise

    def listing(self) -> list[Entry]:
        """List the entries directly below, in any order, by one request."""
        try:
            found = self._call("ls", detail=True, fresh=True)
        except FileNotFoundError:
            return []
        entries = []
        for info in found:
            path = info["name"].rpartition("://")[2].strip("/")
            if path != self._path.strip("/"):  # some stores list an object that marks the folder
                entries.append(Entry(path.rpartition("/")[2], info["type"] == "directory", info["size"] or 0))
        return entries

    def files(self, prefix: str = "") -> Iterator[str]:
        """List every object below by its path from here."""
        for entry in self.listing():
            if entry.folder:
                yield from (self / entry.name).files(f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name

    def _call(self, verb: str, *values: Any, fresh: bool = False, **options: Any) -> Any:
        def call(fs: Any) -> Any:
            if fresh:  # other processes write here too
                fs.invalidate_cache()
            return getattr(fs, verb)(self.text, *values, **options)

        return self._ask(call)

    def _ask(self, call: Callable[[Any], Any]) -> Any:
        """Send a request to the store. Exceptions of its client library become OSError."""
        fs = _filesystem(f"{self.scheme}://{self._path.partition('/')[0]}", os.getpid())
        try:
            return call(fs)
        except OSError:
            raise
        except Exception as error:
            raise OSError(f"{self}: {type(error).__name__}: {error}") from error


@lru_cache
def _filesystem(root: str, process: int) -> Any:
    """The fsspec file system of a bucket or host; none is carried over a fork."""
    scheme = root.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(root)[0]
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        remedy = f"pip install 'texneg[{extra}]'" if extra else str(error)
        raise InputError(f"{root} needs a package that is not installed: {remedy}") from error
    except ValueError as error:
        raise InputError(
            f"{root}: {error}; give a path or a URL such as s3://bucket/folder or gs://bucket/folder"
        ) from error


def escape_for_store(name: str) -> str:
    """Percent-escape the bytes of a name that are not UTF-8, which stores cannot hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return escape(name, percent=False)
    return name

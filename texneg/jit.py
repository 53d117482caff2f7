"""Functions compiled by numba, and the folder that keeps what was compiled.

Numba's own cache raises an error on import where it finds no folder to write to and in a call where a file is
damaged, and it does not notice changes to modules whose code a function inlines. This one warns, compiles
again, and compares the source of all these modules.
"""

import os
import pickle
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from numba import config, njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator

_IMPORT = re.compile(r"^from (texneg[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)
_DIGEST_BYTES = 32


def compiled(signature: Any = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function for numba's nopython mode, without the GIL and with a cache on disk.

    Args:
        signature: types to compile for at once, and no others; None compiles at the first call.
        options: others of `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(nogil=True, **options)(function)
        if config.DISABLE_JIT:
            return dispatcher
        try:
            dispatcher._cache = _Cache(function)
        except (OSError, RuntimeError):  # no folder, or numba's own choice of folders allows none
            _warn_uncached()
        if signature is not None:
            dispatcher.compile(signature)
            dispatcher.disable_compile()
        return dispatcher

    return decorate


@cache
def cache_folder(source: Path) -> Path | None:
    """The first folder that can be written to for the functions of a folder of modules, or None.

    In numba's order: `NUMBA_CACHE_DIR`, `__pycache__` beside the modules, the user's cache; then a private
    folder below the temporary directory.
    """
    name = f"{source.name}_{sha256(os.fsencode(source)).hexdigest()[:_DIGEST_BYTES]}"
    if config.CACHE_DIR and _is_writable(given := Path(config.CACHE_DIR).absolute() / name):
        return given
    if _is_writable(beside := source / "__pycache__"):
        return beside
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 (no error)
    if home.is_absolute() and _is_writable(own := home / "numba" / name):
        return own
    private = Path(tempfile.gettempdir()) / f"texneg-{os.geteuid()}"
    return private / name if _is_private(private) and _is_writable(private / name) else None


def _is_writable(folder: Path) -> bool:
    """Make a folder if it does not exist, and return True if a file can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _is_private(folder: Path) -> bool:
    """Make a folder if it does not exist, and return True if it is this user's and closed to all others.

    Whoever could write there could have this process run other code.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


@cache
def _warn_uncached() -> None:
    warnings.warn(
        "no folder for compiled code can be written to: each process compiles again, which takes seconds to a"
        " minute; set NUMBA_CACHE_DIR to a writable folder",
        RuntimeWarning,
        stacklevel=3,
    )


class _Locator(_CacheLocator):
    """The folder and the source stamp of one function."""

    def __init__(self, function: Callable[..., Any], file: str, folder: Path) -> None:
        self._py_file, self._folder = file, folder
        self._module, self._line = function.__module__, function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "_Locator | None":
        """The locator of a function, if there is a folder for it."""
        folder = cache_folder(Path(py_file).absolute().parent)
        return None if folder is None else cls(py_func, py_file, folder)

    def get_cache_path(self) -> str:
        """The folder."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """A digest of all source that the function's code can come from."""
        return _stamp(self._module, self._py_file)

    def get_disambiguator(self) -> str:
        """The line, which tells functions of one name apart."""
        return str(self._line)


def _stamp(module: str, file: str) -> str:
    """A digest of a module and of all modules of this package that it imports, directly or not."""
    digest, seen, pending = sha256(b"checked" if config.BOUNDSCHECK else b""), {module}, [file]
    for path in pending:
        status = Path(path).stat()
        source, imported = _read(path, status.st_mtime_ns, status.st_size)
        digest.update(source)
        for name in imported:
            where = getattr(sys.modules.get(name), "__file__", None)
            if where and name not in seen:
                seen.add(name)
                pending.append(where)
    return digest.hexdigest()


@cache
def _read(path: str, changed: int, size: int) -> tuple[bytes, tuple[str, ...]]:
    """The digest of a source file, and what it may import of this package: modules and their members."""
    source = Path(path).read_bytes()
    found = _IMPORT.findall(source.decode())
    members = [f"{module}.{name}" for module, names in found for name in re.findall(r"\w+", names)]
    return sha256(source).digest(), (*(module for module, _ in found), *members)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _Files(IndexDataCacheFile):
    """An index and data files of which damaged ones count as missing."""

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except Exception:  # unpickling damaged bytes fails in any way
            return {}

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if sha256(data).digest() != digest:
            raise OSError(f"{name} is damaged")  # a miss to the caller
        return pickle.loads(data)

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(sha256(content).digest() + content)


class _Cache(FunctionCache):
    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file = _Files(
            cache_path=locator.get_cache_path(),
            filename_base=self._impl.filename_base,
            source_stamp=locator.get_source_stamp(),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for a signature; None where there is none that can be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, or warn once where that fails."""
        try:
            super().save_overload(sig, data)
        except OSError:
            _warn_uncached()

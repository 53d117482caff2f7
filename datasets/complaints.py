"""Complaints of the C libraries behind OpenCV and Pillow, kept from the terminal and with their image.

libjpeg and libtiff print to the C stream `stderr` and name no file. While a thread decodes, that variable of
the C library holds a stream of ours, which gives each text to the thread that prints it. File descriptor 2
and `sys.stderr` stay as they are.
"""

import atexit
import ctypes
import os
import threading
from contextlib import suppress

_UNBUFFERED = 2  # _IONBF of setvbuf
_NO_LOCK = 2  # FSETLOCKING_BYCALLER of __fsetlocking
_Write = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Functions(ctypes.Structure):
    """`cookie_io_functions_t` of glibc."""

    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", _Write),
        ("seek", ctypes.c_void_p),
        ("close", ctypes.c_void_p),
    )


class _Thread(threading.local):
    heard: list[str] | None = None
    """Pieces of text so far, while the thread decodes."""


def _hear(_: int, text: int, size: int) -> int:
    """Take what a thread prints; other threads than those that decode print as ever."""
    data = ctypes.string_at(text, size)
    if _thread.heard is not None:
        _thread.heard.append(data.decode("utf-8", "replace"))
    else:
        with suppress(OSError):
            os.write(2, data)
    return size


class _Complaints:
    """A context in which a thread collects what C libraries would print in it: `with complaints as heard`."""

    def __init__(self) -> None:
        self._lock, self._decoding = threading.Lock(), 0
        self._variable, self._theirs, self._ours = ctypes.c_void_p(), None, None
        with suppress(AttributeError, OSError, ValueError):  # a C library other than glibc prints as ever
            library = ctypes.CDLL(None)
            _ = library.gnu_get_libc_version  # musl has the next function too, but a constant `stderr`
            library.fopencookie.restype = ctypes.c_void_p
            self._functions = _Functions(write=_Write(_hear))
            self._ours = library.fopencookie(None, b"w", self._functions)
            library.setvbuf(ctypes.c_void_p(self._ours), None, _UNBUFFERED, 0)
            # A thread with the stream's lock could wait for the interpreter's, and the owner of that for it.
            library["__fsetlocking"](ctypes.c_void_p(self._ours), _NO_LOCK)
            self._variable = ctypes.c_void_p.in_dll(library, "stderr")
            self._theirs = self._variable.value
            os.register_at_fork(after_in_child=self._forget)
            atexit.register(self._forget)

    def __enter__(self) -> list[str]:
        heard: list[str] = []
        _thread.heard = heard
        with self._lock:
            self._decoding += 1
            if self._decoding == 1 and self._theirs:
                self._theirs, self._variable.value = self._variable.value, self._ours
        return heard

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._decoding -= 1
            if not self._decoding and self._theirs:
                self._variable.value = self._theirs
        _thread.heard = None

    def _forget(self) -> None:
        """Forget the threads that decode: a forked process has none, an interpreter at its end no more."""
        if self._decoding and self._theirs:
            self._variable.value = self._theirs
        self._lock, self._decoding = threading.Lock(), 0


def join_complaints(heard: list[str]) -> str:
    """Join what was heard in one line."""
    return "; ".join(" ".join(line.split()) for line in "".join(heard).splitlines())


_thread = _Thread()
complaints = _Complaints()

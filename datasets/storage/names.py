"""Reversible escaping of file names as text that any table can hold."""

import os
import re

_ODD = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_ODD_OR_PERCENT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff%]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")


def escape(name: str, *, percent: bool = True) -> str:
    """Percent-escape control characters and bytes that are not UTF-8; `%` too, unless `percent` is False.

    Only the form that escapes `%` can be undone by `unescape`.
    """
    return (_ODD_OR_PERCENT if percent else _ODD).sub(_escape_match, name)


def _escape_match(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(match[0]))


def unescape(name: str) -> str:
    """Undo `escape`."""
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), os.fsencode(name)))


def plain_name(name: str) -> str | None:
    """Undo `escape` where the result is text; None for bytes that are not UTF-8, which no table can hold."""
    plain = unescape(name)
    return plain if plain.isascii() or not _SURROGATE.search(plain) else None


def show(name: str) -> str:
    """Make an escaped name plain, but for control characters and bytes that are no text."""
    return escape(unescape(name), percent=False)


def hide_dots(key: str) -> str:
    """Write the dots in a key's last part as `%2E`: a WebDataset reader would take them for a suffix."""
    folder, slash, base = key.rpartition("/")
    return folder + slash + base.replace(".", "%2E")


def show_dots(key: str) -> str:
    """Undo `hide_dots`; a folder `%2E%2E` above it must not become `..`."""
    folder, slash, base = key.rpartition("/")
    return folder + slash + base.replace("%2E", ".")

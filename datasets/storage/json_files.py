"""JSON files and files of JSON lines, on disk and in a store."""

import json
import os
import secrets
import time
from typing import Any

from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.places import Place, list_dir, parse_place, read_all
from texneg.datasets.storage.url import Url
from texneg.errors import InputError


def to_json(value: Any, *, indent: int | None = 2) -> bytes:
    """Serialise with sorted keys and a final newline: equal values give equal bytes."""
    return (json.dumps(value, sort_keys=True, indent=indent, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogateescape"
    )


def parse_json(data: bytes) -> Any:
    """Parse what `to_json` wrote, also text with bytes that are not UTF-8."""
    return json.loads(data.decode("utf-8", "surrogateescape"))


def write_json(path: str | Place, value: Any, *, tag: str = "") -> None:
    """Write `to_json(value)` atomically."""
    write_bytes(path, to_json(value), tag=tag)


def read_json(path: str | Place, *, remedy: str = "make it again, or give another") -> dict[str, Any]:
    """Read the object in a JSON file.

    Args:
        path: the file.
        remedy: end of the message where it cannot be read.

    Raises:
        InputError: there is no such file, or it does not hold a JSON object.
    """
    try:
        value = parse_json(parse_place(path).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} does not exist; {remedy}") from None
    except ValueError as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds JSON, but no object; {remedy}")
    return value


def append_json_line(path: str | Place, value: Any) -> None:
    """Append one JSON line in one write; a line that a kill cut short is closed off first.

    Nothing can be appended to an object of a store: there each line is an object below the file's name.
    """
    path = parse_place(path)
    line = to_json(value, indent=None)
    if isinstance(path, Url):
        (path / f"{time.time_ns():020d}-{secrets.token_hex(4)}.json").put(line)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        torn = False
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
        file.write((b"\n" if torn else b"") + line)
        file.flush()
        os.fsync(file.fileno())


def read_json_lines(path: str | Place, *, last: int | None = None) -> list[dict[str, Any]]:
    """Read the objects that `append_json_line` wrote, in order; none if there is no file.

    A line that a kill cut short is left out.

    Args:
        path: the file.
        last: read this many lines from the end; None for all.
    """
    path, wanted = parse_place(path), slice(None if last is None else -last, None)
    if isinstance(path, Url):
        lines = [line for line in read_all(path / entry.name for entry in list_dir(path)[wanted]) if line]
    else:
        lines = path.read_bytes().splitlines()[wanted] if path.exists() else []
    objects = []
    for line in lines:
        try:
            value = parse_json(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            objects.append(value)
    return objects

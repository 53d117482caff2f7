"""JSON files and files of JSON lines."""

import json
from pathlib import Path
from typing import Any

from texneg.errors import InputError


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file cannot be read, or holds anything else.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); make it again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object; make it again")
    return value


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a file of JSON lines; a line that a kill cut short is passed over."""
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows

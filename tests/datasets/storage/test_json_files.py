"""JSON files and lines: equal values give equal bytes, and a damaged file is one clear error."""

import json
import os
from pathlib import Path

import pytest

from texneg.datasets.storage import json_files
from texneg.errors import InputError


def test_json_is_equal_for_equal_values(tmp_path: Path) -> None:
    json_files.write_json(tmp_path / "a", {"b": 1, "a": [1.5, None]})
    json_files.write_json(tmp_path / "b", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text()) == {"a": [1.5, None], "b": 1}


def test_a_line_cut_short_spoils_only_itself(tmp_path: Path) -> None:
    log = tmp_path / "log" / "x.jsonl"
    for less in (1, 2, 3):
        json_files.append_json_line(log, {"n": {"ok": less}})
        os.truncate(log, log.stat().st_size - less)  # once all but the newline is there
    json_files.append_json_line(log, {"n": 2})
    assert json.loads(log.read_text().splitlines()[-1]) == {"n": 2}
    assert json_files.read_json_lines(log, last=9) == [{"n": {"ok": 1}}, {"n": 2}]


def test_all_lines_or_the_last(tmp_path: Path) -> None:
    log = tmp_path / "x.jsonl"
    assert json_files.read_json_lines(log) == []
    for n in range(3):
        json_files.append_json_line(str(log), {"n": n})
    assert json_files.read_json_lines(str(log)) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert json_files.read_json_lines(log, last=2) == [{"n": 1}, {"n": 2}]


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    value = {"name": os.fsdecode(b"no \xff text"), "n": [1.5, None]}
    json_files.write_json(tmp_path / "a", value)
    assert json_files.read_json(str(tmp_path / "a")) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; train again"),
        (b"", "cannot be read as JSON"),
        (b'{"a": 1', "cannot be read as JSON .*; train again"),
        (b"[1]", "holds JSON, but no object; train again"),
    ],
)
def test_a_damaged_or_missing_file_is_one_clear_error(tmp_path: Path, content, message) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        json_files.read_json(path, remedy="train again")
    assert str(path) in str(error.value)

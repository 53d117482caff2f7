"""Files are whole or absent, whatever fails."""

import errno
import json
import os
from pathlib import Path

import pytest

from texneg.datasets.storage import atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_replaces_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    for content in (b"one", b"two"):
        atomic.write_bytes(target, content)
        assert target.read_bytes() == content
    assert names(tmp_path) == ["file"]


def test_a_failing_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    atomic.write_bytes(target, b"old")
    with pytest.raises(RuntimeError, match="half-way"), atomic.atomic_file(target) as file:
        file.write(b"new, but")
        raise RuntimeError("half-way")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_many_files_appear_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [(tmp_path / f"{i % 2}" / f"{i}", bytes([i])) for i in range(6)]

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "sync_file_system", full)
        with pytest.raises(OSError, match="No space left"):
            atomic.write_many(files)
    assert names(tmp_path) == []
    atomic.write_many(files)
    assert all(path.read_bytes() == data for path, data in files)
    assert names(tmp_path) == sorted(path.name for path, _ in files)


def test_longest_name_has_room_for_its_temporary_name(tmp_path: Path) -> None:
    target = tmp_path / ("ü" * 127)  # 254 bytes
    atomic.write_bytes(target, b"x", tag="12345678")
    assert target.read_bytes() == b"x"


def test_json_is_equal_for_equal_values(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "a", {"b": 1, "a": [1.5, None]})
    atomic.write_json(tmp_path / "b", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text()) == {"a": [1.5, None], "b": 1}


def test_a_line_cut_short_spoils_only_itself(tmp_path: Path) -> None:
    log = tmp_path / "log" / "x.jsonl"
    for less in (1, 2, 3):
        atomic.append_json_line(log, {"n": {"ok": less}})
        os.truncate(log, log.stat().st_size - less)  # once all but the newline is there
    atomic.append_json_line(log, {"n": 2})
    assert json.loads(log.read_text().splitlines()[-1]) == {"n": 2}
    assert atomic.read_json_lines(log, last=9) == [{"n": {"ok": 1}}, {"n": 2}]

"""Files are whole or absent, whatever fails."""

import errno
import os
from pathlib import Path

import pytest

from texneg.datasets.storage import atomic
from texneg.errors import RunFailed


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


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "make room there"), (errno.EACCES, "allow writing there"), (errno.ENOENT, "mend that")],
)
def test_the_remedy_is_that_of_the_error(number: int, remedy: str, tmp_path: Path) -> None:
    message = f"{remedy}.*, then run the same command again: it goes on"
    with pytest.raises(RunFailed, match=message), atomic.write_errors(tmp_path, "it goes on"):
        raise OSError(number, os.strerror(number))

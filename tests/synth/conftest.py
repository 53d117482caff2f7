"""Fixtures of texture runs: gates that hold a run, and the files that it left."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from texneg.synth.ledger.manifest import to_table

GATE = """
import itertools, os, threading, time
import texneg.datasets.decode as module
original, calls = module.decode, itertools.count()
def decode(data, **options):
    if next(calls) >= {count}:
        open(f"{gate}.{{os.getpid()}}.{{threading.get_ident()}}.waits", "w").close()
        while not os.path.exists("{gate}"):
            time.sleep(0.01)
    return original(data, **options)
module.decode = decode
"""


@pytest.fixture
def startup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have every Python process that starts from now on run this code first."""

    def install(code: str) -> None:
        folder = tmp_path / "hook"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)

    return install


@pytest.fixture
def gate(tmp_path: Path, startup: Callable[[str], None]) -> Callable[[int], Path]:
    """Let every process that starts from now on read so many images, and no more until a file exists.

    However slow a test is, the run that it observes does not end without it. The file's name is returned;
    each thread that waits for it makes one beside it that ends with `.waits`.
    """
    path = tmp_path / "hook" / "gate"

    def make(count: int) -> Path:
        startup(GATE.format(count=count, gate=path))
        return path

    return make


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def ledger_of(dst: Path) -> Path:
    """The ledger beside an output folder."""
    return dst.with_name(f"{dst.name}.texneg")


@pytest.fixture(scope="session")
def state() -> Callable[[Path], Any]:
    """Everything that a run reproduces: outputs, manifest, quarantine, checksums; and no left-overs."""

    def read(dst: Path) -> Any:
        ledger = ledger_of(dst)
        left = [p for root in (dst, ledger) for p in root.rglob(".*") if p.is_file()]
        assert not left
        assert not (ledger / "parts").exists()
        assert not (ledger / "lock").exists()
        manifest = (ledger / "manifest" / "part-00000.parquet").read_bytes()
        quarantine = (ledger / "quarantine.parquet").read_bytes()
        return files_of(dst), manifest, quarantine, (ledger / "SHA256SUMS").read_bytes()

    return read


@pytest.fixture
def manifest() -> Callable[[Path], list[dict[str, Any]]]:
    """Rows of a run's manifest."""

    def read(dst: Path) -> list[dict[str, Any]]:
        data = (ledger_of(dst) / "manifest" / "part-00000.parquet").read_bytes()
        return to_table(data).to_pylist()

    return read

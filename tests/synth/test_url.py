"""`texneg synth` from, to and with a ledger in a store: the bytes of the local run, and nothing half done."""

import functools
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from texneg.datasets.storage import places
from texneg.datasets.storage.json_files import read_json_lines
from texneg.datasets.storage.places import Place
from texneg.datasets.storage.url import Url
from texneg.errors import InputError, RunFailed
from texneg.synth.executors.connect import check_files
from texneg.synth.ledger import lease
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.record import open_record
from texneg.synth.status import StatusConfig, synth_status
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.verify import VerifyConfig, verify

Run = Callable[..., Path]
State = Callable[[Path], Any]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in memory settles at once."""
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)


@pytest.fixture
def bucket() -> Iterator[Url]:
    """An empty folder of a store in memory."""
    url = Url(f"memory://{uuid.uuid4().hex}")
    yield url
    places.remove_tree(url)


def upload(folder: Path, url: Url) -> Url:
    for path in folder.rglob("*"):
        if path.is_file():
            (url / str(path.relative_to(folder))).put(path.read_bytes())
    return url


def download(url: Place, folder: Path) -> Path:
    for name in places.list_files(url):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((url / name).read_bytes())
    return folder


def state_of(bucket: Place, folder: Path, state: State) -> Any:
    """The files that a run left in a store, copied to the disk."""
    download(bucket / "out", folder / "out")
    download(bucket / "out.texneg", folder / "out.texneg")
    return state(folder / "out")


def config(src: object, dst: object, **options: Any) -> SynthConfig:
    return SynthConfig.flat(
        str(src), str(dst), **{"size": 32, "exemplar_size": 24, "executor": "sync", **options}
    )


@pytest.mark.parametrize(
    "options",
    [
        {"format": "folder"},
        {"format": "webdataset", "shard_size": 10},
        {"format": "webdataset", "shard_size": 10, "part_size": 4},
    ],
)
def test_a_run_in_a_store_gives_the_bytes_of_a_local_one(
    photos: Path, run: Run, state: State, bucket: Url, tmp_path: Path, options: dict[str, Any]
) -> None:
    local = state(run(photos, "local", **options))
    src = upload(photos, bucket / "photos")
    assert synth(config(src, bucket / "out", **options)) == 0
    assert state_of(bucket, tmp_path / "copy", state) == local
    assert verify(VerifyConfig(f"{bucket}/out", str(src), pixels=True, resynth=4)) == 0
    assert verify(VerifyConfig(f"{bucket}/out", quick=True)) == 0


def test_tars_in_a_store(shards: Path, run: Run, state: State, bucket: Url, tmp_path: Path) -> None:
    local = state(run(shards, "local", part_size=5))
    src = upload(shards, bucket / "shards")
    assert synth(config(src, bucket / "out", part_size=5)) == 0
    assert state_of(bucket, tmp_path / "copy", state) == local
    one = run(shards / "00001.tar", "one")
    assert synth(config(f"{src}/00001.tar", bucket / "single")) == 0
    assert (bucket / "single/00001.tar").read_bytes() == (one / "00001.tar").read_bytes()


def test_what_a_killed_worker_left_in_a_store_is_removed(
    photos: Path, run: Run, state: State, bucket: Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = state(run(photos, "local"))
    dst = bucket / "out"
    assert synth(config(photos, dst)) == 0
    ledger, _ = open_record(Ledger(bucket / "out.texneg", dst))
    with monkeypatch.context() as patch:
        patch.setattr(Url, "unlink", lambda *_, **__: None)  # ends between the trial and its removal
        check_files(ledger, "a worker")
    assert any(name.endswith(".tmp") for name in places.list_files(dst))
    (dst / ".other.tmp").put(b"of another program")
    next(dst / name for name in places.list_files(dst) if not name.startswith(".")).unlink()
    assert synth(config(photos, dst)) == 0
    assert (dst / ".other.tmp").exists()
    (dst / ".other.tmp").unlink()
    assert state_of(bucket, tmp_path / "copy", state) == local


def test_the_ledger_may_lie_elsewhere(photos: Path, run: Run, bucket: Url, tmp_path: Path) -> None:
    local = run(photos, "local")
    assert synth(config(photos, tmp_path / "a", ledger=f"{bucket}/ledger")) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "local", "local.texneg"]
    assert synth(config(photos, bucket / "b", ledger=f"file://{tmp_path}/ledger")) == 0
    for name in places.list_files(local):
        assert (tmp_path / "a" / name).read_bytes() == (bucket / "b" / name).read_bytes()
    assert verify(VerifyConfig(f"{bucket}/b", ledger=str(tmp_path / "ledger"))) == 0


class Flaky:
    """A `pipe_file` that stops working after some calls."""

    def __init__(self, works: int) -> None:
        self.left = iter(range(works))
        self.put = fsspec.filesystem("memory").pipe_file

    def __call__(self, path: str, value: bytes, **options: Any) -> None:
        if next(self.left, None) is None:
            raise OSError(f"connection lost while {path} was sent")
        self.put(path, value, **options)


@pytest.mark.parametrize("form", ["folder", "webdataset"])
@pytest.mark.parametrize("works", [0, 2, 4, 9, 20])
def test_a_store_that_fails_half_way(
    photos: Path, run: Run, state: State, bucket: Url, tmp_path: Path, form: str, works: int
) -> None:
    options: dict[str, Any] = {"format": form, "shard_size": 10, "part_size": 5}
    settings = config(photos, bucket / "out", retries=1, **options)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fsspec.filesystem("memory"), "pipe_file", Flaky(works))
        with pytest.raises((RunFailed, OSError), match="connection lost"):
            synth(settings)
    whole = state(run(photos, "whole", **options))
    for name in places.list_files(bucket / "out"):
        assert (bucket / "out" / name).read_bytes() == whole[0][name]
    assert synth(settings) == 0
    assert state_of(bucket, tmp_path / "copy", state) == whole


def test_a_forbidden_store_stops_the_run(photos: Path, bucket: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    put = fsspec.filesystem("memory").pipe_file

    def refuse(path: str, value: bytes, **options: Any) -> None:
        if "/out/" in path:
            raise PermissionError("Access Denied")
        put(path, value, **options)

    monkeypatch.setattr(fsspec.filesystem("memory"), "pipe_file", refuse)
    with pytest.raises(RunFailed, match=r"Access Denied at memory://.*: allow access there"):
        synth(config(photos, bucket / "out"))


def test_a_second_run_an_overwrite_and_what_is_refused(
    photos: Path, bucket: Url, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = bucket / "out"
    assert synth(config(photos, dst)) == 0
    assert synth(config(photos, dst)) == 0
    assert "nothing was left to do" in capsys.readouterr().out
    (dst / "mine.txt").put(b"keep")
    assert synth(config(photos, dst, limit=5, overwrite=True)) == 0
    assert len(list(places.list_files(dst))) == 6
    with pytest.raises(InputError, match="size: 32 -> 48"):
        synth(config(photos, dst, limit=5, size=48))
    with pytest.raises(InputError, match="is not empty and has no ledger"):
        synth(config(photos, dst, ledger=f"{bucket}/another"))
    with pytest.raises(InputError, match="lies inside SRC"):
        synth(config(dst, dst / "deeper"))
    with pytest.raises(InputError, match="lies inside DST"):
        synth(config(photos, dst, ledger=f"{dst}/ledger"))
    with pytest.raises(InputError, match="is a whole bucket"):
        synth(config(photos, "memory://bucket"))
    with pytest.raises(InputError, match="nothing can be written over https"):
        synth(config(photos, "https://host/out"))


def test_a_lease_in_a_store(photos: Path, bucket: Url) -> None:
    held = {"host": "elsewhere", "pid": 1, "time": 1e12}
    (bucket / "out.texneg/lock").put(json.dumps(held).encode())
    with pytest.raises(InputError, match="--steal-lock"):
        synth(config(photos, bucket / "out"))
    assert synth(config(photos, bucket / "out", steal_lock=True)) == 0
    assert not (bucket / "out.texneg/lock").exists()


def test_status_of_a_run_in_a_store(photos: Path, bucket: Url, capsys: pytest.CaptureFixture[str]) -> None:
    synth(config(photos, bucket / "out", shard_size=10))
    places.remove_all([bucket / "out.texneg/done/all/000/000001.json", bucket / "out.texneg/stats.json"])
    capsys.readouterr()
    synth_status(StatusConfig(f"{bucket}/out"))
    assert "14 of 24 images (58 %), 2 of 3 shards" in capsys.readouterr().out


def test_damage_in_a_store_is_found(photos: Path, bucket: Url, capsys: pytest.CaptureFixture[str]) -> None:
    dst = bucket / "out"
    synth(config(photos, dst))
    names = sorted(places.list_files(dst))
    (dst / names[0]).put(b"other")
    (dst / names[1]).unlink()
    (dst / "more.webp").put(b"x")
    for quick in (False, True):
        capsys.readouterr()
        with pytest.raises(RunFailed, match="3 problems"):
            verify(VerifyConfig(str(dst), quick=quick))
        found = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()]
        assert found == ["changed", "missing", "unlisted"]
    assert synth(config(photos, dst, recheck=True)) == 0
    (dst / "more.webp").unlink()
    assert verify(VerifyConfig(str(dst))) == 0


class Ranged(http.server.SimpleHTTPRequestHandler):
    """Serves files, and spans of them."""

    def log_message(self, *args: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if match is None:
            super().do_GET()
            return
        first, last = int(match[1]), min(int(match[2]), len(data) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def end_headers(self) -> None:
        """Say that spans are served."""
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()


@pytest.fixture
def server(shards: Path) -> Iterator[str]:
    """The tars over HTTP."""
    pytest.importorskip("aiohttp")
    handler = functools.partial(Ranged, directory=str(shards))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


SHELF = """
import os
from fsspec.implementations.local import LocalFileSystem

class Shelf(LocalFileSystem):
    protocol = "shelf"

    def __init__(self, **options):
        super().__init__(auto_mkdir=True, **options)

    @classmethod
    def _strip_protocol(cls, path):
        return path if path.startswith("/") else os.environ["SHELF"] + path.removeprefix("shelf:/")
"""


@pytest.fixture
def shelf(tmp_path: Path) -> dict[str, str]:
    """Environment in which `shelf://` is a store of its own that all processes share."""
    code = tmp_path / "code"
    (code / "shelf-0.dist-info").mkdir(parents=True)
    (code / "shelf.py").write_text(SHELF)
    (code / "shelf-0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 0\n")
    (code / "shelf-0.dist-info/entry_points.txt").write_text("[fsspec.specs]\nshelf = shelf:Shelf\n")
    paths = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SHELF": str(tmp_path / "shelf")}


def test_two_worker_processes_share_a_store(
    shards: Path, run: Run, state: State, tmp_path: Path, shelf: dict[str, str]
) -> None:
    local = state(run(shards, "local", format="folder"))
    shutil.copytree(shards, tmp_path / "shelf/a/src")
    command = [sys.executable, "-m", "texneg", "synth", "shelf://a/src", "shelf://a/out", "--size", "32"]
    command += ["--exemplar-size", "24", "--format", "folder", "--part-size", "5"]
    command += ["--workers", "2", "--threads-per-worker", "1"]
    ended = subprocess.run(command, env=shelf, check=False, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()
    assert state_of(tmp_path / "shelf/a", tmp_path / "copy", state) == local


def test_a_file_url_is_a_path(photos: Path, run: Run, state: State, tmp_path: Path) -> None:
    assert synth(config(f"file://{photos}", f"file://{tmp_path}/url")) == 0
    assert state(tmp_path / "url") == state(run(photos, "path"))


def test_a_server_that_does_not_answer_is_not_called_an_absent_tar(tmp_path: Path, server: str) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        for host in (f"http://127.0.0.1:{deaf.getsockname()[1]}", server):
            with pytest.raises(InputError, match=r"x\.tar does not exist or cannot be reached; give"):
                synth(config(f"{host}/x.tar", str(tmp_path / "out")))


def test_one_tar_over_http(shards: Path, run: Run, state: State, server: str) -> None:
    local = state(run(shards / "00000.tar", "local"))
    assert synth(config(f"{server}/00000.tar", run(shards, "x").with_name("out"))) == 0
    assert state(run(shards, "x").with_name("out")) == local


def test_a_job_array_later_inputs_and_second_tries_in_a_store(
    photos: Path, run: Run, state: State, bucket: Url, tmp_path: Path
) -> None:
    grown = Path(shutil.copytree(photos, tmp_path / "grown"))
    (grown / "bee/new.JPEG").write_bytes(b"")
    src, dst = upload(photos, bucket / "photos"), bucket / "out"
    whole = state(run(photos, "whole", shard_size=10))
    for options in ({"plan_only": True}, {"task": "1/2"}, {"task": "0/2"}, {"finalize": True}):
        assert synth(config(src, dst, shard_size=10, **options)) == 0
    assert state_of(bucket, tmp_path / "copy", state) == whole
    assert len(read_json_lines(bucket / "out.texneg/metrics.jsonl", last=9)) == 3
    upload(grown, src)
    assert synth(config(src, dst, shard_size=10, extend=True)) == 0
    (src / "bee/new.JPEG").put((photos / "bee/bee.003.JPEG").read_bytes())
    assert synth(config(src, dst, shard_size=10, retry_quarantined=())) == 0
    assert (dst / "bee/new.webp").exists()
    assert verify(VerifyConfig(str(dst), str(src))) == 0
    assert synth(config(src, bucket / "none", dry_run=True)) == 0
    assert not (bucket / "none.texneg").exists()

"""`texneg synth` against a server that speaks S3: the bytes of a local run, through kills."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from texneg.datasets.images import open_images
from texneg.datasets.pairs import open_pairs
from texneg.datasets.storage import places as store
from texneg.datasets.storage.url import Url
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.verify import VerifyConfig, verify

for package in ("s3fs", "moto", "flask_cors"):
    pytest.importorskip(package)

Run = Callable[..., Path]
SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0)
server.start()
print("port", server.get_host_and_port()[1], flush=True)
input()
"""
SMALL = ["--size", "32", "--exemplar-size", "24"]


@pytest.fixture(scope="module")
def bucket() -> Iterator[Url]:
    """A bucket on a server in a process of its own; the environment leads every client there."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen([sys.executable, "-c", SERVER], **pipes, stderr=subprocess.DEVNULL) as server,
        pytest.MonkeyPatch.context() as environment,
    ):
        assert server.stdout is not None
        port = next(line.split()[1] for line in server.stdout if line.startswith("port"))
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            environment.setenv(name, "us-east-1")
        import s3fs

        s3fs.S3FileSystem().mkdir("bucket")
        yield Url("s3://bucket")
        server.kill()


@pytest.fixture(scope="module")
def src(bucket: Url, photos: Path) -> Url:
    """The photographs, an empty file, a name full of signs, and the objects that mark folders in consoles."""
    good = (photos / "ant/ant.000.JPEG").read_bytes()
    extra = {"ant/nothing.png": b"", "cow/ünï +&?#%.jpg": good, "ant/": b"", "none/": b""}
    files = {str(path.relative_to(photos)): path.read_bytes() for path in photos.rglob("*.JPEG")}
    for name, data in {**files, **extra}.items():
        (bucket / f"photos/{name}").put(data)
    return bucket / "photos"


@pytest.fixture(scope="module")
def copy(src: Url, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same on disk."""
    folder = tmp_path_factory.mktemp("s3") / "photos"
    for name in store.list_files(src):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((src / name).read_bytes())
    return folder


def assert_same(made: Url, local: Path) -> None:
    """Outputs, manifest, quarantine and checksums are equal to the byte, and nothing is left over."""
    names = sorted(store.list_files(local))
    assert sorted(store.list_files(made)) == names
    places = [(made / name, local / name) for name in names]
    ledger, other = made.parent / f"{made.name}.texneg", local.with_name(f"{local.name}.texneg")
    tables = ("manifest/part-00000.parquet", "quarantine.parquet", "SHA256SUMS")
    for remote, path in [*places, *((ledger / name, other / name) for name in tables)]:
        assert remote.read_bytes() == path.read_bytes()
    assert not [name for name in store.list_files(ledger) if name.startswith(("parts/", "lock"))]


@pytest.mark.parametrize(
    "options", [{"format": "folder"}, {"layout": "paired", "shard_size": 10, "part_size": 4}]
)
def test_from_s3_to_s3(src: Url, copy: Path, run: Run, bucket: Url, options: dict[str, Any]) -> None:
    dst = bucket / options.get("layout", "plain")
    config = SynthConfig.flat(str(src), str(dst), size=32, exemplar_size=24, executor="sync", **options)
    assert synth(config) == 0
    assert_same(dst, run(copy, **options))
    assert verify(VerifyConfig(str(dst), str(src), pixels=True, resynth=4)) == 0
    made = open_images(str(dst), textures=True)
    assert len(made) == 25
    assert made[24][0].shape == (32, 32, 3)


def test_pairs_are_read_from_s3(bucket: Url, photos: Path) -> None:
    dst = bucket / "pairs"
    config = SynthConfig.flat(
        str(photos), str(dst), size=32, exemplar_size=24, executor="sync", layout="paired"
    )
    assert synth(config) == 0
    images, textures, partner = open_pairs(str(dst))
    local = open_images(photos)
    assert images.keys == textures.keys == local.keys
    assert partner.tolist() == list(range(24))
    for i in (0, 23):
        np.testing.assert_array_equal(images[i][0], local[i][0])
        assert images[i][1] == local[i][1]


@pytest.mark.slow
def test_worker_processes_killed_and_resumed_on_s3(
    bucket: Url, shards: Path, run: Run, tmp_path: Path, gate: Callable[[int], Path]
) -> None:
    go_on = gate(6)
    for path in shards.glob("*.tar"):
        (bucket / f"shards/{path.name}").put(path.read_bytes())
    command = [sys.executable, "-m", "texneg", "synth", f"{bucket}/shards", f"{bucket}/killed", *SMALL]
    command += ["--part-size", "2", "--workers", "2", "--threads-per-worker", "1"]
    with (tmp_path / "log").open("wb") as log:
        begun = subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)
        parts = bucket / "killed.texneg/parts"
        while begun.poll() is None and not any(name.endswith(".json") for name in store.list_files(parts)):
            time.sleep(0.02)
        assert begun.poll() is None, (tmp_path / "log").read_text()
        os.killpg(begun.pid, signal.SIGKILL)
        begun.wait()
    go_on.touch()
    ended = subprocess.run([*command, "--steal-lock"], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "resuming: " in ended.stderr
    assert_same(bucket / "killed", run(shards))

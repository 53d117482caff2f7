"""Places in a store do what places on disk do."""

import json
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from texneg.datasets.images import open_images
from texneg.datasets.sources.sources import open_source
from texneg.datasets.storage import atomic, json_files
from texneg.datasets.storage import places as store
from texneg.datasets.storage.places import Place, parse_place
from texneg.datasets.storage.url import Url
from texneg.errors import InputError


@pytest.fixture
def bucket() -> Iterator[Url]:
    """An empty folder of a store in memory."""
    url = parse_place(f"memory://{uuid.uuid4().hex}")
    assert isinstance(url, Url)
    yield url
    store.remove_tree(url)


@pytest.fixture(params=["disk", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, bucket: Url) -> Place:
    """An empty folder on disk, and one in a store."""
    return tmp_path / "folder" if request.param == "disk" else bucket


def test_files_come_back(folder: Place) -> None:
    atomic.write_bytes(folder / "a/b.bin", b"0123456789")
    with atomic.atomic_file(folder / "c") as file:
        file.write(b"streamed")
    atomic.write_many([(folder / "a/d", b"1"), (folder / "e/f/g", b"22")])
    assert store.read_range(folder / "a/b.bin", 3, 4) == b"3456"
    assert store.read_range(folder / "a/b.bin", 8, 4) == b"89"
    assert store.read_range(folder / "a/b.bin", 8, 0) == b""
    with store.open_read(folder / "c") as stream:
        assert stream.read() == b"streamed"
    assert sorted(store.list_files(folder)) == ["a/b.bin", "a/d", "c", "e/f/g"]
    assert [(e.name, e.is_dir()) for e in store.list_dir(folder)] == [("a", True), ("c", False), ("e", True)]
    assert dict(store.list_sizes(folder / "a")) == {"b.bin": 10, "d": 1}
    assert [store.size_of(folder / name) for name in ("a/d", "nothing")] == [1, -1]
    assert list(store.read_all([folder / "e/f/g", folder / "x"])) == [b"22", None]
    store.remove_all([folder / "a/d", folder / "nothing"])
    store.remove_tree(folder / "e")
    assert sorted(store.list_files(folder)) == ["a/b.bin", "c"]
    assert not store.is_empty(folder)
    assert store.is_empty(folder / "nothing")


def test_what_is_there(folder: Place) -> None:
    atomic.write_bytes(folder / "a/b", b"x")
    assert [(folder / n).exists() for n in ("a", "a/b", "c")] == [True, True, False]
    assert [(folder / n).is_dir() for n in ("a", "a/b", "c")] == [True, False, False]
    assert [(folder / n).is_file() for n in ("a", "a/b", "c")] == [False, True, False]
    assert ((folder / "a/b").name, (folder / "a/b").parent) == ("b", folder / "a")
    assert [store.is_inside(folder / n, folder / "a") for n in ("a", "a/b", "ab")] == [True, True, False]
    with pytest.raises(FileNotFoundError):
        (folder / "c").unlink()


def test_a_block_that_raises_leaves_no_object(folder: Place) -> None:
    with pytest.raises(RuntimeError, match="half-way"), atomic.atomic_file(folder / "file") as file:
        file.write(b"half")
        raise RuntimeError("half-way")
    assert list(store.list_files(folder)) == []


def test_lines_are_appended_and_read(folder: Place) -> None:
    assert json_files.read_json_lines(folder / "log.jsonl", last=9) == []
    for n in range(5):
        json_files.append_json_line(folder / "log.jsonl", {"n": n})
    assert json_files.read_json_lines(folder / "log.jsonl", last=3) == [{"n": 2}, {"n": 3}, {"n": 4}]


def test_large_files_are_put_from_disk(bucket: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texneg.datasets.storage.url._WHOLE", 10)
    with atomic.atomic_file(bucket / "large") as file:
        file.write(b"x" * 11)
    assert (bucket / "large").read_bytes() == b"x" * 11


def test_a_name_that_is_no_text_is_escaped_in_a_store(bucket: Url) -> None:
    assert str(bucket / "caf\udce9 ü") == f"{bucket}/caf%E9 ü"


def test_errors_of_a_client_library_become_oserror(bucket: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    class Throttled(Exception):
        pass

    def refuse(*args: object, **options: object) -> None:
        raise Throttled("slow down")

    monkeypatch.setattr(fsspec.filesystem("memory"), "pipe_file", refuse)
    with pytest.raises(OSError, match="Throttled: slow down"):
        (bucket / "x").put(b"")


def test_a_server_without_spans_is_noticed(bucket: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    (bucket / "x").put(b"0123456789")
    monkeypatch.setattr(fsspec.filesystem("memory"), "cat_file", lambda *_, **__: b"0123456789")
    with pytest.raises(OSError, match="copy it to disk first"):
        store.read_range(bucket / "x", 2, 3)


def test_a_span_behind_the_end_is_empty_whatever_the_store_says(
    bucket: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strict(path: str, start: int, end: int) -> bytes:
        raise OSError(22, "The requested range is not satisfiable")

    (bucket / "empty").put(b"")
    (bucket / "full").put(b"0123")
    monkeypatch.setattr(fsspec.filesystem("memory"), "cat_file", strict)
    assert store.read_range(bucket / "empty", 0, 1) == b""
    assert store.read_range(bucket / "full", 4, 1) == b""
    with pytest.raises(OSError, match="not satisfiable"):
        store.read_range(bucket / "full", 3, 1)
    with pytest.raises(FileNotFoundError):
        store.read_range(bucket / "none", 0, 1)


def test_paths_and_urls() -> None:
    assert parse_place("a/b") == Path("a/b")
    assert parse_place("file:///a/b") == Path("/a/b")
    assert parse_place("s3://bucket/a/") == Url("s3://bucket/a")
    assert Url("s3://bucket").is_bucket
    assert not Url("s3://bucket/a").is_bucket
    with pytest.raises(InputError, match="chains of URLs"):
        parse_place("simplecache::s3://bucket/a")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(InputError, match=r"gs://nobody needs .* pip install 'texneg\[gcs\]'$"):
        open_source("gs://nobody/data")
    with pytest.raises(InputError, match="Protocol not known: nonsense; give a path or a URL"):
        open_source("nonsense://x/y")
    with pytest.raises(InputError, match="does not exist"):
        open_source("pipe:cat /etc/passwd")


def test_only_a_tar_comes_over_http() -> None:
    with pytest.raises(InputError, match=r"only one tar can be read; give a URL that ends in \.tar"):
        open_source("http://127.0.0.1:9/folder")


def test_results_come_in_order_and_failures_at_their_place() -> None:
    assert list(store.map_in_order(str, range(100), threads=4, ahead=8)) == [str(i) for i in range(100)]
    seen = []
    with pytest.raises(ZeroDivisionError):
        for value in store.map_in_order(lambda i: 1 // (5 - i), range(10)):
            seen.append(value)
    assert len(seen) == 5


def test_images_are_read_from_a_store(bucket: Url) -> None:
    import numpy as np

    from texneg.datasets.encode import encode

    for i, name in enumerate(("b/x", "a/y")):
        (bucket / f"{name}.png").put(encode(np.full((4, 5, 3), i, np.uint8), "png"))
    images = open_images(str(bucket))
    assert (images.keys, images.classes) == (("a/y", "b/x"), ("a", "b"))
    assert images[0][0].tolist() == np.full((4, 5, 3), 1).tolist()
    assert json.dumps(images.labels.tolist()) == "[0, 1]"


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store.require_folder(tmp_path / "new/folder", "--out")
    store.require_folder(str(tmp_path), "--out")
    store.require_folder("memory://new/folder", "--out")
    for folder in (tmp_path / "file", tmp_path / "file/below/it"):
        with pytest.raises(
            InputError, match=f"--out {folder}: {tmp_path / 'file'} is no folder; give another"
        ):
            store.require_folder(folder, "--out")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes anywhere")
def test_a_folder_that_is_read_only_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(InputError, match=f"cannot write to {tmp_path}; give another"):
        store.require_folder(tmp_path / "new", "--out")

"""Tar shards: equal bytes for equal contents, and nothing unsafe believed."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from texneg.datasets.sources.members import BrokenTar, members, split_name
from texneg.datasets.sources.tars import TRAILER, data_offset, fragment
from texneg.datasets.storage.places import read_range

LONG = "folder/" * 40 + "name.webp"


def write_tar(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for info, data in entries:
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


def plain(name: str, data: bytes = b"data") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


@pytest.mark.parametrize(
    ("name", "key", "extension"),
    [
        ("a.jpg", "a", "jpg"),
        ("n01/b.seg.PNG", "n01/b", "seg.png"),
        ("v1.2/c.JPEG", "v1.2/c", "jpeg"),
        ("README", "README", ""),
        (".hidden", "", "hidden"),
    ],
)
def test_key_is_the_name_up_to_the_first_dot_of_its_last_part(name: str, key: str, extension: str) -> None:
    assert split_name(name) == (key, extension)


def test_fragments_in_a_row_are_a_tar(tmp_path: Path) -> None:
    contents = {"a.webp": b"x" * 512, "ünïcode/b c.webp": b"y", LONG: b"", "d.webp": bytes(1000)}
    pieces = [fragment(name, data) for name, data in contents.items()]
    path = tmp_path / "x.tar"
    path.write_bytes(b"".join(pieces) + TRAILER)
    with tarfile.open(path) as tar:
        found = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
        assert {(info.mtime, info.uid, info.gid, info.mode, info.uname) for info in tar} == {
            (0, 0, 0, 0o644, "")
        }
    assert found == contents
    start = 0
    for (name, data), piece in zip(contents.items(), pieces, strict=True):
        assert read_range(path, start + data_offset(name), len(data)) == data
        start += len(piece)


def test_members_tell_where_their_bytes_are(tmp_path: Path) -> None:
    contents = {f"{i}.jpg": bytes([i]) * (i * 300) for i in range(5)}
    path = write_tar(tmp_path / "x.tar", [plain(name, data) for name, data in contents.items()])
    assert {m.name: read_range(path, m.offset, m.size) for m in members(path)} == contents


@pytest.mark.parametrize("pax", [False, True])
def test_a_negative_size_is_a_break_and_no_circle(tmp_path: Path, pax: bool) -> None:
    backwards = tarfile.TarInfo("back.jpg")
    backwards.size, backwards.pax_headers = (0, {"size": "-1536"}) if pax else (-512, {})
    header = backwards.tobuf(tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT)
    (tmp_path / "x.tar").write_bytes(fragment("a.jpg", b"x") + header + TRAILER)
    found = []
    with pytest.raises(BrokenTar, match=r"'back\.jpg' has a negative size"):
        for member in members(tmp_path / "x.tar"):
            found.append(member.name)
    assert found == ["a.jpg"]


def test_unsafe_members_carry_a_problem(tmp_path: Path) -> None:
    entries = [
        plain("good.jpg"),
        plain("/etc/passwd.jpg"),
        plain("../up.jpg"),
        plain("a/../../up.jpg"),
        special("link.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        special("hard.jpg", tarfile.LNKTYPE, "good.jpg"),
        special("device.jpg", tarfile.CHRTYPE),
        special("pipe.jpg", tarfile.FIFOTYPE),
        special("folder", tarfile.DIRTYPE),
        plain("./also-good.jpg"),
    ]
    found = list(members(write_tar(tmp_path / "x.tar", entries)))
    assert [m.name for m in found if not m.problem] == ["good.jpg", "also-good.jpg"]
    assert len(found) == len(entries) - 1  # folders are no members


@pytest.mark.parametrize("keep", [700, 1024 + 100, 3 * 1024 + 10])
def test_a_tar_cut_short_gives_what_is_before_the_break(tmp_path: Path, keep: int) -> None:
    path = write_tar(tmp_path / "x.tar", [plain(f"{i}.jpg", bytes([i]) * 512) for i in range(4)])
    path.write_bytes(path.read_bytes()[:keep])
    found = []
    with pytest.raises(BrokenTar):
        for member in members(path):
            found.append(member.name)
    assert found == [f"{i}.jpg" for i in range(4) if i * 1024 + 512 <= keep]  # whole headers


def test_rubbish_after_a_member_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(fragment("a.jpg", b"x") + b"rubbish" * 100)
    with pytest.raises(BrokenTar, match="not a tar member"):
        list(members(path))


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def archive(*names: str, padding: int = 0) -> bytes:
    return b"".join(fragment(name, name.encode() * 100) for name in names) + TRAILER + bytes(padding)


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("padding", [0, 8192, 3 * 2**20])
def test_archives_in_a_row_are_read_to_the_end(tmp_path: Path, suffix: str, padding: int) -> None:
    path = tmp_path / f"x{suffix}"
    archives = [archive("a.jpg", "b.jpg", padding=padding), archive(LONG), bytes(512), archive("c.jpg")]
    path.write_bytes(COMPRESS[suffix](b"".join([*archives, bytes(padding + 100)])))
    names = ["a.jpg", "b.jpg", LONG, "c.jpg"]
    assert [member.name for member in members(path)] == names
    plain = tmp_path / "plain.tar"
    plain.write_bytes(b"".join(archives))
    assert [read_range(plain, m.offset, m.size) for m in members(path)] == [n.encode() * 100 for n in names]


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_compressed_streams_in_a_row_are_one_tar(tmp_path: Path, suffix: str) -> None:
    whole = archive("a.jpg", "b.jpg") + archive("c.jpg")
    pieces = [COMPRESS[suffix](piece) for piece in (whole[:700], whole[700:2000], whole[2000:])]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"".join(pieces) + bytes(8))
    assert [member.name for member in members(path)] == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("place", ["in the tar", "behind the stream"])
def test_rubbish_after_the_end_is_noticed(tmp_path: Path, suffix: str, place: str) -> None:
    inside, behind = (b"rubbish", b"") if place == "in the tar" else (b"", b"rubbish")
    path = tmp_path / f"x{suffix}"
    path.write_bytes(COMPRESS[suffix](archive("a.jpg", padding=512) + inside) + behind)
    found = []
    with pytest.raises(BrokenTar, match=r"x\.tar") as caught:
        for member in members(path):
            found.append(member.name)
    assert found == ["a.jpg"]
    if place == "in the tar" or suffix == ".tar":
        assert "what follows byte 2560 is not a tar member" in str(caught.value)
    elif suffix != ".tar.gz":
        end = path.stat().st_size - len(behind)
        assert f"what follows byte {end} is no compressed stream" in str(caught.value)


def test_a_second_archive_that_breaks_off_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(archive("a.jpg") + archive("b.jpg")[:700])
    found = []
    with pytest.raises(BrokenTar, match=r"breaks off inside the member 'b\.jpg'"):
        for member in members(path):
            found.append(member.name)
    assert found == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("suffix", [".tar.bz2", ".tar.xz", ".tar.gz"])
def test_a_compressed_tar_that_breaks_off_is_noticed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(COMPRESS[suffix](archive("a.jpg"))[:-12])
    with pytest.raises(BrokenTar):
        list(members(path))


def test_what_is_no_tar_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"<html>" * 200)
    with pytest.raises(BrokenTar):
        list(members(path))


def test_a_damaged_pax_header_is_a_broken_tar(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "b.png"}
    info.size = 512
    with tarfile.open(tmp_path / "0.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b"7" * 512))  # no map of a sparse file
    with pytest.raises(BrokenTar):
        list(members(tmp_path / "0.tar"))

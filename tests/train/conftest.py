"""A tiny encoder and a tiny data set for the evaluation tests; processes to send signals to.

`TEXNEG_TEST_IMAGES` names a folder with imagenet-photos/imagenet-photos-000000.tar, 250 photographs whose
names begin with their WordNet ids; tests that look at them are left out without it.
"""

import hashlib
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from texneg.train.config import PretrainConfig
from texneg.train.flags import change
from texneg.train.networks.preprocessing import Preprocessing


@pytest.fixture(scope="session")
def tiny():
    """The smallest configuration that trains: a step of it takes milliseconds."""
    return change(
        PretrainConfig(),
        recipe="tiny",
        arch="resnet18",
        stem="stride2",
        width=4,
        layers=(1, 1, 1, 1),
        hidden=8,
        dim=6,
        image_size=16,
        batch=8,
        epochs=2,
        queue=8,
        bn_group=4,
        log_every=1,
        checkpoint_every=1,
        device="cpu",
    )


class TinyEncoder(nn.Module):
    """Colours of a 2 x 2 grid through one convolution with BN: (N, 3, 16, 16) to (N, 24)."""

    image_size = 16
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    preprocessing = Preprocessing(image_size, mean, std)

    def __init__(self) -> None:
        super().__init__()
        self.info = {}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(
                nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(2)
            )

    def forward(self, images):
        return self.body(images).flatten(1)

    def embed(self, images):
        return F.normalize(self(images), dim=1)

    @property
    def fingerprint(self):
        content = b"".join(value.numpy().tobytes() for value in self.state_dict().values())
        return hashlib.sha256(content).hexdigest()


COLOURS = {"blue": (30, 40, 200), "green": (20, 190, 40), "red": (210, 30, 20)}


def write_colours(root, *, per_class=12, seed=0, noise=20, classes=tuple(COLOURS)):
    """root/<colour>/<colour><i>.png: noisy 20 x 16 squares of one colour."""
    draw = np.random.default_rng(seed)
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            pixels = np.array(COLOURS[name]) + draw.normal(0, noise, (20, 16, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{name}{i}.png")
    return root


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums are the same bits only for the same number of threads, and tiny networks are faster with one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def encoder():
    """In training mode, so that a measurement that forgets the mode shows."""
    return TinyEncoder().train()


@pytest.fixture
def colours(tmp_path):
    """A function that writes a colour set below a fresh folder and returns its path."""
    return lambda name, **options: write_colours(tmp_path / name, **options)


@pytest.fixture
def start_until():
    """A function that starts a process group and waits for a condition; nothing outlives the test."""
    started = []

    def start(command, condition):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        deadline = time.monotonic() + 600
        while not condition():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """250 photographs of 250 classes of ImageNet, in folders by WordNet id."""
    archive = (
        Path(os.environ.get("TEXNEG_TEST_IMAGES", "")) / "imagenet-photos" / "imagenet-photos-000000.tar"
    )
    if not archive.is_file():
        pytest.skip("TEXNEG_TEST_IMAGES names no folder with the photographs")
    root = tmp_path_factory.mktemp("photographs")
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            folder = root / member.name[:9]
            folder.mkdir(exist_ok=True)
            (folder / member.name).write_bytes(tar.extractfile(member).read())
    return root

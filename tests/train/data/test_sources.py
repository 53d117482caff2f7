"""Loaders: the same batches from files, memory and a cache; nearly the same from images on the device."""

from shutil import rmtree

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from texneg.datasets.cache import open_cache
from texneg.datasets.storage.json_files import read_json_lines
from texneg.errors import InputError
from texneg.train.assemble import make_batches
from texneg.train.config import PretrainConfig
from texneg.train.data import sources
from texneg.train.data.augmentations import AUGMENTATIONS, KEY, QUERY
from texneg.train.data.cache import CacheConfig, cache
from texneg.train.data.on_device import DeviceImages
from texneg.train.data.sources import choose_loader
from texneg.train.data.splits import open_train
from texneg.train.data.views import make_views
from texneg.train.flags import change
from texneg.train.pretrain import run_pretraining

N = 10


def picture(i):
    """Smooth colours in several sizes."""
    y, x = np.mgrid[: 40 + 3 * i, :50]
    waves = [np.sin(x / (5 + c + i)) + np.cos(y / (6 + c)) for c in range(3)]
    return (np.stack(waves, 2) * 50 + 120).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("view", [QUERY, KEY])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_views_on_the_device_are_the_compiled_ones_but_for_rounding(augmentation, view):
    images = DeviceImages(picture, N, torch.device("cpu"))
    index = np.random.default_rng(0).permutation(np.repeat(np.arange(N), 4))
    key = {"seed": 3, "epoch": 1, "index": index, "view": view}
    compiled = make_views([picture(int(i)) for i in index], augmentation(32), **key)
    made = images.views(augmentation(32), **key)
    assert made.dtype == torch.uint8
    assert made.is_contiguous()
    difference = np.abs(made.numpy().astype(int) - compiled)
    assert difference.mean() < 0.05
    # Where rounding takes a level over 128, solarising inverts it.
    assert np.quantile(difference, 0.999) <= 1


class NoWait(TorchDispatchMode):
    """Refuse what needs a value of the device; meta, which holds none, refuses the rest."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select"), func
        if name == "_to_copy" and kwargs.get("device", args[0].device) != args[0].device:
            assert kwargs.get("non_blocking"), f"{func} waits for a copy"
        return func(*args, **kwargs)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_views_on_the_device_wait_for_nothing(augmentation):
    images = DeviceImages(picture, N, torch.device("meta"))
    with NoWait():
        made = images.views(augmentation(32), seed=0, epoch=0, index=np.arange(N), view=KEY)
    assert made.shape == (N, 32, 32, 3)


def test_images_that_do_not_fit_on_the_device_are_told(monkeypatch):
    def empty(*size, **options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch, "empty", empty)
    with pytest.raises(
        InputError, match=r"--loader device: .* for 10 images cannot be had on cpu; use a smaller"
    ):
        DeviceImages(picture, N, torch.device("cpu"))


@pytest.fixture
def config(tmp_path):
    """A tiny run on images of several sizes, reduced to 24 pixels."""
    for i in range(N):
        path = tmp_path / "photos" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(i)).save(path)
    return change(
        PretrainConfig(),
        data=str(tmp_path / "photos"),
        arch="resnet10t",
        stem="stride1",
        width=8,
        dim=8,
        image_size=16,
        batch=4,
        queue=8,
        bn_group=2,
        epochs=1,
        resident=24,
        device="cpu",
        out=str(tmp_path / "run"),
    )


def test_files_memory_and_cache_give_the_same_run(config, tmp_path):
    assert cache(CacheConfig(config.run.data, str(tmp_path / "cache"), side=24)) == 0
    finished, said = [], []
    for name, flags in {
        "files": {"loader": "files", "workers": 1},
        "memory": {},
        "cache": {"cache": str(tmp_path / "cache"), "resident": None},
    }.items():
        run = run_pretraining(change(config, out=str(tmp_path / name), **flags), log=said.append)
        finished.append(torch.load(run / "checkpoint.pt", weights_only=True)["method"])
        assert any(line.startswith(f"loader {name}: 10 images, ") for line in said)
    for weights in finished[1:]:
        assert all(torch.equal(weights[key], finished[0][key]) for key in weights)


@pytest.mark.parametrize("form", ["raw", "jpeg"])
def test_a_finished_run_needs_no_cache(config, tmp_path, form):
    where = tmp_path / "cache"
    assert cache(CacheConfig(config.run.data, str(where), side=24, format=form)) == 0
    cached = change(config, cache=str(where), resident=None)
    run_pretraining(change(cached, stop_after=1), log=str)
    (where / "cache.json").rename(tmp_path / "away")
    with pytest.raises(InputError, match=r"cache\.json does not exist"):
        run_pretraining(cached, log=str)
    (tmp_path / "away").rename(where / "cache.json")
    run = run_pretraining(cached, log=str)
    rmtree(where)
    assert run_pretraining(cached, log=str) == run
    with pytest.raises(InputError, match="resident 24 -> 20"):
        run_pretraining(change(cached, resident=20), log=str)


def test_a_run_on_the_device_trains_as_one_in_memory(config):
    images = open_train(config.run.data)
    memory, device = (
        make_batches(change(config, loader=loader), images, None, str) for loader in ("memory", "device")
    )
    for step in range(2):
        expected, made = memory.make(step), device.complete(device.make(step))
        for mine, theirs in zip(made[:3], expected[:3], strict=True):
            assert mine.shape == theirs.shape
            assert (mine.int() - theirs.int()).abs().float().mean() < 0.1
    run_pretraining(change(config, loader="device", workers=2), log=str)


def test_a_jpeg_cache_is_a_setting_of_the_run(config, tmp_path):
    where = str(tmp_path / "cache")
    assert cache(CacheConfig(config.run.data, where, side=24, format="jpeg")) == 0
    read = change(config, cache=where, resident=None).read_from(open_cache(where))
    assert read.settings()["reading"]["jpeg"] == 90
    assert read.settings()["optimisation"]["resident"] == 24
    for flags, message in (
        ({"resident": 20}, r"--resident 20: --cache .* has --resident 24; give that, or make another"),
        ({"resident": 24, "jpeg": 80}, "--jpeg 80: --cache .* has --jpeg 90"),
    ):
        with pytest.raises(InputError, match=message):
            change(config, cache=where, **flags).read_from(open_cache(where))
    with pytest.raises(InputError, match="--jpeg 90: belongs to a --cache of format jpeg"):
        run_pretraining(change(config, jpeg=90), log=str)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"loader": "cache"}, "--loader cache: name the cache by --cache"),
        ({"loader": "files", "cache": "c"}, "--loader files with --cache: give one"),
        ({"loader": "memory", "resident": None}, "--loader memory: say by --resident"),
        ({"loader": "device", "operators": "pillow"}, "--operators pillow needs the CPU"),
        ({"loader": "device", "negatives": "texture"}, "of kind texture are made on the CPU"),
        ({"cache": "nowhere"}, "cache.json does not exist; make a cache with texneg cache"),
    ],
)
def test_a_loader_that_lacks_something_is_refused_before_a_folder_is_made(config, tmp_path, flags, message):
    with pytest.raises(InputError, match=message):
        run_pretraining(change(config, **flags), log=str)
    assert not (tmp_path / "run").exists()


def test_images_that_do_not_fit_into_memory_are_told_early(monkeypatch):
    read = []
    monkeypatch.setattr(sources, "available_memory", lambda: 10**6)
    with pytest.raises(InputError, match=r"--loader memory: 1000 images need about .* and 1 MB are free"):
        sources.Memory(lambda i: read.append(i) or picture(0), 1000)
    assert len(read) == sources.SAMPLE
    monkeypatch.undo()
    assert sources.available_memory() is None or sources.available_memory() > 2**20


def test_a_cache_with_holes_is_for_runs_that_go_without(config, tmp_path):
    broken = tmp_path / "photos" / "4.png"
    broken.write_bytes(broken.read_bytes()[:100])
    where, skip = str(tmp_path / "cache"), {"skip_unreadable": True}
    assert cache(CacheConfig(config.run.data, where, side=24, **skip)) == 0
    cached = change(config, cache=where, resident=None)
    with pytest.raises(InputError, match=r"lacks 1 image that could not be read .*give --skip-unreadable"):
        run_pretraining(cached, log=str)
    said = []
    for name, changed in (("cache", change(cached, **skip)), ("memory", change(config, **skip))):
        run_pretraining(change(changed, out=str(tmp_path / name)), log=said.append)
    losses = [read_json_lines(tmp_path / name / "metrics.jsonl")[-1]["loss"] for name in ("cache", "memory")]
    assert losses[0] == losses[1]
    assert sum("decoding 10 images once" in line for line in said) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_views_on_a_gpu_never_wait_for_it(augmentation):
    images = DeviceImages(picture, N, torch.device("cuda"))
    key = {"seed": 0, "epoch": 0, "index": np.arange(N), "view": KEY}
    images.views(augmentation(32), **key)
    torch.cuda.set_sync_debug_mode("error")
    try:
        made = images.views(augmentation(32), **key)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    compiled = make_views([picture(i) for i in range(N)], augmentation(32), **key)
    assert np.abs(made.cpu().numpy().astype(int) - compiled).mean() < 0.1


def test_auto_takes_what_is_there():
    chosen = [choose_loader("auto", cache=c, resident=r).loader for c, r in (("c", 8), ("", 8), ("", None))]
    assert chosen == ["cache", "memory", "files"]

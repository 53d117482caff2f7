"""Whole runs: resuming bit for bit after any end, run folders that refuse to mix, encoders that load."""

import json
import math
import pickle
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from texneg.cli.main import main
from texneg.cli.signals import STOP_SIGNALS
from texneg.errors import InputError, RunFailed
from texneg.train import assemble
from texneg.train import pretrain as verb
from texneg.train.data import augmentations
from texneg.train.data.splits import open_train
from texneg.train.engine.checkpoint import require_same
from texneg.train.flags import CHOICES, OTHERS, change, list_parts, read_flags
from texneg.train.methods import METHODS
from texneg.train.negatives import KINDS, Negatives, Patch, TextureLive
from texneg.train.networks.encoder import load_encoder
from texneg.train.objectives import LOSSES, Byol, Objective, TruncatedTriplet
from texneg.train.pretrain import run_pretraining
from texneg.train.recipes import find_recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """42 images of 2 classes, and a texture set with the same keys."""
    root = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    for name, base in (("train", 0), ("val", 1), ("textures", 2)):
        for colour in range(2):
            folder = root / name / f"class{colour}"
            folder.mkdir(parents=True)
            for i in range(21 if name != "val" else 4):
                pixels = draw.integers(100 * colour, 100 * colour + 100 + base, (24, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    (root / "set").mkdir()
    for name in ("train", "val"):
        (root / name).rename(root / "set" / name)
    return root


@pytest.fixture(scope="module")
def longer(tiny):
    """Three epochs of five steps, with checkpoints amid them."""
    return change(tiny, epochs=3, queue=16, lr=0.1, momentum=0.9, log_every=2, checkpoint_every=4)


@pytest.fixture(scope="module")
def configure(longer):
    """A function that makes the configuration of a run."""
    return lambda data, out, **changes: change(longer, data=str(data / "set"), out=str(out), **changes)


def silent(_):
    """No progress lines."""


TIMES = "seconds", "images_per_second", "data_wait"


def lines(folder):
    """metrics.jsonl without wall time."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def assert_same_run(one, two):
    assert lines(one) == lines(two)
    a, b = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (one, two))
    assert a["step"] == b["step"]
    assert a["method"].keys() == b["method"].keys()
    assert all(torch.equal(a["method"][name], b["method"][name]) for name in a["method"])
    for mine, theirs in zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True):
        assert all(torch.equal(mine[k], theirs[k]) for k in mine)


ARMS = {
    "patch": {"negatives": "patch", "knn_every": 1},
    "texture": {"negatives": "texture"},
    "saving": {"negatives": "patch", "negatives_every": 2, "negatives_above": 0.95, "accumulate": 2},
    "byol": {"method": "byol", "bn": "none", "optimizer": "lars", "negatives": "patch"},
    "symmetric": {"symmetric": True, "negatives": "patch"},
    "simo": {"method": "simo", "keys": 5},
    "simclr": {"method": "simclr", "bn": "none"},
    "triplet": {
        "method": "triplet",
        "bn": "none",
        "ranks": (1, 3),
        "shrink_online": 0.5,
        "shrink_target": 0.6,
        "group": 4,
    },
    "memory_bank": {"method": "memory_bank", "keys": 20},
    "parts": {"accumulate": 2, "optimizer": "adamw", "lr": 0.01, "clip_norm": 1.0, "negatives": "patch"},
    "synthetic": {"negatives": "patch", "hardest": 7, "interpolated": 6, "ascended": 4, "accumulate": 2},
    "permutation": {
        "negatives": "patch_permutation",
        **{f"patch_permutation_{name}": True for name in ("flip", "rotate")},
    },
    "live": {"negatives": "texture_live"},
    "scan": {"negatives": "texture_live", "texture_live_method": "fast"},
    "mixture": {
        "negatives": "mixture",
        "mixture": (("patch", 0.5), ("texture", 1.0), ("texture_live", 0.5), ("patch_permutation", 0.5)),
        "count": 2,
    },
}


@pytest.mark.parametrize("arm", ARMS)
def test_a_stopped_run_goes_on_bit_for_bit(configure, data, tmp_path, arm):
    changes = ARMS[arm] | {"textures": str(data / "textures")}
    whole = run_pretraining(configure(data, tmp_path / "whole", **changes), log=silent)
    assert len(lines(whole)) >= 8
    parts = configure(data, tmp_path / "parts", stop_after=7, **changes)
    for call in range(3):
        assert (tmp_path / "parts" / "encoder.pt").is_file() is False
        folder = run_pretraining(change(parts, workers=call % 2), log=silent)
    assert_same_run(whole, folder)
    one, two = load_encoder(str(whole)), load_encoder(str(folder))
    assert one.fingerprint == two.fingerprint


def test_negatives_made_on_the_device_change_no_bit_of_a_run(configure, data, tmp_path, monkeypatch):
    changes = {"negatives": "mixture", "mixture": (("patch", 0.3), ("texture_live", 0.7)), "epochs": 2}
    loaded = run_pretraining(configure(data, tmp_path / "loaded", **changes), log=silent)
    make = assemble.make_batches
    with monkeypatch.context() as patched:
        patched.setattr(assemble, "make_batches", lambda *given, **_: replace(make(*given), deferred=True))
        late = configure(data, tmp_path / "late", stop_after=7, **changes)
        for _ in range(2):
            run_pretraining(late, log=silent)
    assert_same_run(loaded, tmp_path / "late")


KILLED = """
import os, pickle, signal, torch
from texneg.train.engine import checkpoint
from texneg.train.pretrain import run_pretraining

write, seen = checkpoint.write_bytes, []

def write_half(path, data):
    seen.append(path)
    if len(seen) == 2:
        path.with_name(".half.tmp").write_bytes(data[:1000])
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, data)

checkpoint.write_bytes = write_half
torch.set_num_threads(1)
"""


def test_a_run_that_is_killed_while_it_saves_goes_on_bit_for_bit(configure, data, tmp_path):
    config = configure(data, tmp_path / "parts")
    command = [
        sys.executable,
        "-c",
        f"{KILLED}run_pretraining(pickle.loads({pickle.dumps(config)!r}), log=len)",
    ]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 4
    folder = run_pretraining(config, log=silent)
    assert_same_run(run_pretraining(change(config, out=str(tmp_path / "whole")), log=silent), folder)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_ends_the_command_with_130_and_the_next_goes_on(data, tmp_path, monkeypatch, capsys, number):
    changes = {"width": 4, "image_size": 16, "batch": 8, "epochs": 3, "queue": 16, "bn_group": 4}
    changes |= {"log_every": 2, "device": "cpu", "data": str(data / "set"), "out": str(tmp_path / "parts")}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in changes.items()]
    command = ["pretrain", "demo", *words]
    handlers = [signal.getsignal(n) for n in STOP_SIGNALS]
    with monkeypatch.context() as patched:
        patched.setattr(
            verb, "print_status", lambda text: signal.raise_signal(number) if "step 6/" in text else None
        )
        assert main(command) == 130
    assert "run the same command again" in capsys.readouterr().err
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 6
    assert [signal.getsignal(n) for n in STOP_SIGNALS] == handlers
    assert main(command) == 0
    assert "finished" in capsys.readouterr().out
    changes["out"] = str(tmp_path / "whole")
    assert_same_run(run_pretraining(change(find_recipe("demo"), **changes), log=silent), tmp_path / "parts")


def test_a_finished_run_returns_at_once(configure, data, tmp_path):
    config = configure(data, tmp_path / "run", epochs=1)
    folder = run_pretraining(config, log=silent)
    written = (folder / "metrics.jsonl").read_text()
    assert run_pretraining(change(config, data="/gone"), log=silent) == folder
    assert (folder / "metrics.jsonl").read_text() == written


def test_encoders_are_kept_every_few_epochs(configure, data, tmp_path):
    config = configure(data, tmp_path / "run", keep_every=2, checkpoint_every=100)
    run_pretraining(change(config, stop_after=12), log=silent)
    folder = run_pretraining(config, log=silent)
    assert sorted(path.name for path in folder.glob("encoder*")) == ["encoder-2.pt", "encoder.pt"]
    kept = load_encoder(str(folder / "encoder-2.pt"))
    assert kept.info["step"] == 10
    half = run_pretraining(configure(data, tmp_path / "half", stop_after=10), log=silent)
    assert load_encoder(str(half)).fingerprint == kept.fingerprint != load_encoder(str(folder)).fingerprint


def test_metrics_say_what_happened(configure, data, tmp_path):
    rows = lines(run_pretraining(configure(data, tmp_path / "run", knn_every=1), log=silent))
    assert [row["step"] for row in rows if "knn" in row] == [5, 10, 15]
    assert [row["step"] for row in rows] == [2, 4, 5, 6, 8, 10, 12, 14, 15]
    assert all(
        {"step", "epoch", "loss", "lr", "positive", "negative", "nonsemantic"} <= row.keys() for row in rows
    )
    assert all(row["gradient_norm"] > 0 and -8 <= row["uniformity"] <= 0 for row in rows)
    assert all(-1 <= row["tolerance"] <= 1 for row in rows)
    assert all(0 <= row[name] <= 1 for row in rows for name in ("accuracy", "nonsemantic_share"))
    assert all(0 <= row["knn"] <= 100 for row in rows if "knn" in row)
    assert rows[-1]["epoch"] == 3


def test_a_folder_refuses_other_settings_and_takes_other_paces(configure, data, tmp_path):
    config = configure(data, tmp_path / "run", stop_after=3)
    run_pretraining(config, log=silent)
    with pytest.raises(InputError, match=r"arch 'resnet18' -> 'resnet34', lr 0\.1 -> 0\.2"):
        run_pretraining(change(config, lr=0.2, arch="resnet34"), log=silent)
    run_pretraining(change(config, log_every=1, checkpoint_every=2, stop_after=1), log=silent)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 4


def test_a_folder_belongs_to_a_run_from_its_first_checkpoint_on(configure, data, tmp_path, monkeypatch):
    def fail(training):
        (training.folder / "metrics.jsonl").write_text('{"step": 1}\n')
        raise RunFailed("the first step")

    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(verb, "train", fail)
        with pytest.raises(RunFailed, match="the first step"):
            run_pretraining(configure(data, out, lr=9.0, skip_unreadable=True), log=silent)
    config = configure(data, out, epochs=1)
    assert_same_run(
        run_pretraining(config, log=silent),
        run_pretraining(change(config, out=str(tmp_path / "whole")), log=silent),
    )
    assert not (out / "unreadable.json").exists()
    (out / "config.json").unlink()  # what is finished still belongs to its run
    with pytest.raises(InputError, match=r"lr 0\.1 -> 0\.2"):
        run_pretraining(change(config, lr=0.2), log=silent)
    assert run_pretraining(config, log=silent) == out
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"architecture": "resnet18"}')  # of another program
    with pytest.raises(InputError, match="use another --out"):
        run_pretraining(change(config, out=str(tmp_path / "other")), log=silent)


def test_a_run_that_other_processes_began_goes_on_with_a_warning(configure, data, tmp_path):
    config = configure(data, tmp_path / "run", stop_after=3)
    path, told = tmp_path / "run" / "config.json", []
    run_pretraining(config, log=silent)
    record = json.loads(path.read_text())
    [first] = record["history"]
    assert (first["step"], first["processes"], first["device"]) == (0, 1, "cpu")
    first["processes"] = 2  # as if torchrun had begun it
    path.write_text(json.dumps(record))
    run_pretraining(change(config, workers=1), log=told.append)
    [warning] = [line for line in told if line.startswith("warning: from")]
    assert warning.startswith("warning: from step 3 on: processes 2 -> 1; ")
    history = json.loads(path.read_text())["history"]
    assert [(entry["step"], entry["processes"]) for entry in history] == [(0, 2), (3, 1)]
    record["history"] = "lost"
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"history in config\.json is damaged"):
        run_pretraining(config, log=silent)


def test_a_checkpoint_of_another_architecture_is_refused(configure, data, tmp_path):
    config = configure(data, tmp_path / "run", stop_after=2)
    folder = run_pretraining(config, log=silent)
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    name = "query.head.fc.0.weight"
    saved["method"][name] = saved["method"][name][:4]
    torch.save(saved, folder / "checkpoint.pt")
    with pytest.raises(InputError, match=r"does not fit this network .*fc\.0\.weight"):
        run_pretraining(config, log=silent)
    (folder / "config.json").unlink()
    saved["identity"]["settings"]["network"]["width"] = 6
    torch.save(saved, folder / "checkpoint.pt")
    with pytest.raises(InputError, match="width 6 -> 4"):
        run_pretraining(config, log=silent)


def test_other_images_are_refused(configure, data, tmp_path):
    config = configure(data, tmp_path / "run", stop_after=2)
    run_pretraining(config, log=silent)
    with pytest.raises(InputError, match="other images"):
        run_pretraining(change(config, data=str(data / "textures")), log=silent)


def test_damaged_files_are_named(configure, data, tmp_path):
    config = configure(data, tmp_path / "run", stop_after=2)
    folder = run_pretraining(config, log=silent)
    content = (folder / "checkpoint.pt").read_bytes()
    (folder / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged or foreign"):
        run_pretraining(config, log=silent)
    (folder / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        run_pretraining(config, log=silent)


def test_a_diverged_run_fails_and_keeps_its_last_good_state(configure, data, tmp_path):
    config = configure(data, tmp_path / "run", lr=1e30, checkpoint_every=1, log_every=50)
    with pytest.raises(RunFailed, match=r"not finite at step \d+; train in a new --out with a lower --lr"):
        run_pretraining(config, log=silent)
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert torch.isfinite(saved["meter"]["sums"]["loss"])


def test_an_encoder_loads_from_folder_and_checkpoint(configure, data, tmp_path):
    folder = run_pretraining(configure(data, tmp_path / "run"), log=silent)
    encoder = load_encoder(str(folder))
    running = load_encoder(str(folder / "checkpoint.pt"))
    assert encoder.fingerprint == running.fingerprint
    assert not encoder.training
    assert encoder.info["settings"]["negatives"]["kinds"][0]["name"] == "patch"
    assert encoder.info["step"] == encoder.info["steps"] == 15
    x = torch.randn(3, 3, encoder.image_size, encoder.image_size)
    assert encoder(x).shape == (3, encoder.feature_dim) == (3, 32)
    torch.testing.assert_close(encoder.embed(x).norm(dim=1), torch.ones(3))
    (tmp_path / "text.pt").write_text("no checkpoint")
    for wrong in (tmp_path / "text.pt", tmp_path / "nothing.pt", tmp_path):
        with pytest.raises(InputError):
            load_encoder(str(wrong))


def test_without_dropout_there_is_no_random_state_to_save(configure, data, tmp_path):
    before = torch.get_rng_state()
    run_pretraining(configure(data, tmp_path / "run", epochs=1, knn_every=1), log=silent)
    assert torch.equal(torch.get_rng_state(), before)


VIT = {"arch": "vit_tiny_patch16_224", "stem": "standard", "width": 64, "layers": None}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"data": ""}, "no --data"),
        ({"negatives": "texture"}, "has no textures beside its images; name them by --textures"),
        ({"queue": 42}, "--queue 42 >= data set size 42: .* use --queue 16"),
        ({"queue": 4}, "at least the 8 keys"),
        ({"batch": 64, "queue": 64}, "--batch 64 > data set size 42"),
        ({"bn": "shuffle"}, "use --bn split"),
        ({"bn_group": 3}, "must divide the 8 images"),
        ({**VIT, "bn": "split"}, "--bn split: neither this --arch nor its head has batch norm"),
        ({**VIT, "bn": "sync", "method": "memory_bank", "keys": 8}, "--bn sync: neither"),
        (
            {"accumulate": 8, "bn": "none"},
            "--batch 8 --accumulate 8: one image a pass, and --arch resnet18 normalises over several",
        ),
        ({"dim": 2**63}, "--dim and --hidden: 1 to 65536"),
        ({"width": 10**9}, "--width 1000000000: at most 65536"),
        ({"method": "byol"}, "--method byol has no keys to hide"),
        ({"method": "byol", "bn": "none", "eqco": 4}, "--eqco is an option of --loss info_nce"),
        ({"method": "byol", "bn": "none", "hardest": 4}, "ordinary negatives, which --method byol has none"),
        ({"method": "byol", "bn": "none", "loss": "info_nce"}, "which --method byol has none"),
        ({"loss": "byol", "hardest": 4}, "ordinary negatives, which --loss byol ignores; leave them out"),
        ({"loss": "truncated_triplet", "ranks": (2, 17)}, "needs 17 ordinary negatives a query"),
        ({"difficulty": (0.5, 0.1)}, "the first below the second"),
        ({"hardest": 17}, "1 to the 16 negatives"),
        ({"difficulty": (0.5, 0.51)}, "keeps none of 16 negatives"),
        ({"temperature": 0.0}, "above 0"),
        ({"device": "cuda"}, "0 CUDA devices"),
        ({"data": "/nothing/here"}, "/nothing/here"),
    ],
    ids=str,
)
def test_what_cannot_train_is_refused_before_a_folder_is_made(configure, data, tmp_path, wrong, message):
    if wrong == {"device": "cuda"} and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(InputError, match=message):
        run_pretraining(change(configure(data, tmp_path / "run"), **wrong), log=silent)
    assert not (tmp_path / "run").exists()


def test_one_group_of_batch_norm_is_warned_of(longer):
    assert change(longer, bn_group=4).warnings() == []
    (warning,) = change(longer, bn_group=8).warnings()
    assert warning.startswith("--bn-group 8: one group, in which shuffling")
    assert change(longer, bn_group=8).warnings(world=2) == []


def parsed(*words):
    return read_flags(list(words))


def test_an_augmentation_brings_its_own_flags():
    changed = parsed("demo", "--views", "byol", "--solarise", "0", "0.5", "--crop", "0.3")
    assert changed.views == augmentations.Byol(32, crop=0.3, solarise=(0.0, 0.5))
    assert find_recipe("byol_imagenet100").views == augmentations.Byol(224)
    again = parsed("byol_imagenet100", "--blur", "1", "0")
    assert again.views == augmentations.Byol(224, blur=(1.0, 0.0))
    with pytest.raises(InputError, match="--solarise is an option of --views byol, which is not chosen"):
        parsed("demo", "--solarise", "0", "0.5")


def test_the_first_word_names_a_recipe_and_flags_change_it():
    given = parsed("demo", "--patch-size", "2", "8", "--lr", "1", "--no-amp")
    assert given == change(find_recipe("demo"), patch_size=(2, 8), lr=1.0, amp=False)
    assert given.negatives == Negatives.of(Patch(size=(2, 8), mirror=3, blend=0.125))
    words = ("--negatives", "mixture", "--mixture", "patch", "0.5", "texture_live", "1", "--no-patch-overlap")
    mixed = parsed("demo", *words)
    assert mixed.negatives.kinds == (
        (Patch(size="small", overlap=False, mirror=3, blend=0.125), 0.5),
        (TextureLive(), 1.0),
    )
    written = json.loads(json.dumps(mixed.identity()))  # as config.json has it
    require_same("runs/demo", written, mixed.identity())
    other = change(mixed, mixture=(("patch", 1.0),), negatives="mixture")
    with pytest.raises(InputError, match=r"patch 0\.5 -> 1\.0, .*texture_live 1\.0 -> None"):
        require_same("runs/demo", written, other.identity())
    with pytest.raises(InputError, match="no recipe 'moco'; choose from: moco_v2_imagenet, "):
        parsed("moco")
    for words in ((), ("--lr", "1")):
        with pytest.raises(InputError, match="name a recipe first"):
            parsed(*words)


def test_a_choice_brings_its_own_options_and_defaults():
    byol = parsed("demo", "--method", "byol", "--bn=none", "--momentum", "0.9")
    assert byol == change(find_recipe("demo"), method="byol", bn="none", momentum=0.9)
    assert byol.objective == Objective(Byol(alpha=0.5))
    triplet = parsed("demo", "--loss=truncated_triplet", "--ranks", "3", "20")
    assert triplet.objective.loss == TruncatedTriplet(ranks=(3, 20))
    same = parsed("demo", "--method", "moco", "--loss", "info_nce", "--negatives", "patch")
    assert same == parsed("demo", "--amp", "--patch-overlap", "--no-patch-flip") == find_recipe("demo")
    for words, message in (
        (("--method", "byol", "--queue", "8"), "--queue is an option of --method moco, which is not chosen"),
        (("--patch-permutation-size", "2", "4"), "is an option of --negatives patch_permutation"),
        (("--no-patch-permutation-flip",), "is an option of --negatives patch_permutation"),
        (("--negatives", "non"), "choose from patch, .*, texture_live, none, mixture;"),
        (("--negatives", "mixture", "--mixture", "noise", "1"), "--mixture noise: choose from patch"),
        (("else",), "^'else' belongs to no flag; leave it out"),
        (("--que", "8"), r"--que is not understood; did you mean --queue\?"),
        (
            ("--loss", "triplet"),
            "--loss triplet: choose from info_nce, simple_contrastive, trunc",
        ),
    ):
        with pytest.raises(InputError, match=message):
            parsed("demo", *words)


def test_two_negatives_of_one_kind_are_told_apart(longer):
    two = replace(longer, negatives=Negatives.of(Patch(), Patch(flip=True)))
    assert change(two, lr=0.2) == replace(two, optimisation=replace(two.optimisation, lr=0.2))
    turned = change(two, patch_rotate=True)  # a flag is an option of the kind
    assert turned.negatives == Negatives.of(Patch(rotate=True), Patch(flip=True, rotate=True))
    other = replace(two, negatives=Negatives.of(Patch(rotate=True), Patch(flip=True)))
    with pytest.raises(InputError, match=r"\(patch1_rotate False -> True\)"):
        require_same("runs/two", two.identity(), other.identity())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", LOSSES)
def test_no_two_options_share_a_flag(longer, method, loss):
    every = tuple((kind(), 1.0) for kind in KINDS)
    config = replace(longer, method=method(), objective=Objective(loss()), negatives=Negatives(every))
    flags = [*CHOICES, *OTHERS, *(flag for part in list_parts(config) for flag in part.flags())]
    assert len(flags) == len(set(flags))


def test_help_describes_the_recipe_and_the_options_of_what_is_chosen(capsys):
    for words, shown, left_out in (
        (("--help",), ("texneg pretrain RECIPE", "imagenette128_gpu", "--queue"), ("--texture-live",)),
        (
            ("demo", "--method=byol", "--help"),
            ("texneg pretrain demo", "less than a minute", "(default: byol)", "Momentum of the target"),
            ("imagenette128_gpu", "--queue", "--temperature"),
        ),
        (
            ("demo", "--negatives", "texture_live", "--help"),
            ("--texture-live-method {live,fast,default,quality}", "--amp, --no-amp"),
            ("--patch-size",),
        ),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["pretrain", *words])
        assert ended.value.code == 0
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert [one for one in shown if one not in text] == []
        assert [one for one in left_out if one in text] == []


@pytest.mark.parametrize("loss", ["simple_contrastive", "truncated_triplet"])
def test_every_loss_trains(configure, data, tmp_path, loss):
    config = configure(data, tmp_path / "run", loss=loss, epochs=2)
    rows = lines(run_pretraining(config, log=silent))
    others = lines(run_pretraining(configure(data, tmp_path / "other", epochs=2), log=silent))
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert rows[-1]["positive"] != others[-1]["positive"]
    assert load_encoder(str(tmp_path / "run")).info["settings"]["objective"]["loss"]["name"] == loss


def test_the_authors_own_tiles_train(configure, longer, data, tmp_path):
    plain, paper = (
        run_pretraining(configure(data, tmp_path / str(paper), patch_paper=paper, epochs=1), log=silent)
        for paper in (False, True)
    )
    assert lines(plain) != lines(paper)
    record = json.loads((paper / "config.json").read_text())
    assert record["settings"]["negatives"]["kinds"][0]["paper"] is True
    assert record["title"] == "patch paper α=2"
    baseline = change(longer, epochs=1, negatives="none").settings()
    assert record["baseline"] == json.loads(json.dumps(baseline)) != record["settings"]


def test_negatives_of_the_same_class_are_left_out_and_other_groups_are_another_run(configure, data, tmp_path):
    rows = lines(run_pretraining(configure(data, tmp_path / "run", exclude="class", epochs=2), log=silent))
    plain = lines(run_pretraining(configure(data, tmp_path / "plain", epochs=2), log=silent))
    assert rows[-1]["loss"] != plain[-1]["loss"]
    assert all(math.isfinite(row["negative"]) for row in rows)
    groups = tmp_path / "groups.csv"
    keys = open_train(str(data / "set")).keys
    text = "name,group\n" + "".join(f"{key},{i % 3}\n" for i, key in enumerate(keys))
    groups.write_text(text)
    config = configure(data, tmp_path / "clusters", exclude="group", groups=str(groups), epochs=2)
    run_pretraining(change(config, stop_after=3), log=silent)
    groups.write_text(text.replace(",2\n", ",1\n"))
    with pytest.raises(InputError, match=r"groups '\w+' -> '\w+'"):
        run_pretraining(config, log=silent)
    groups.write_text(text)
    run_pretraining(config, log=silent)

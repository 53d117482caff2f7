"""Receivers of metrics: lines, TensorBoard and wandb, with stand-ins for their packages."""

import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from texneg.errors import InputError, RunFailed
from texneg.train.engine.run import Run
from texneg.train.engine.writers import open_writers


class Wandb(ModuleType):
    """Keeps what a run logs."""

    def __init__(self):
        super().__init__("wandb")
        self.__spec__ = ModuleSpec("wandb", None)
        self.begun, self.logged, self.ended = [], [], 0

    def init(self, **options):
        self.begun.append(options)
        return self

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.ended += 1


@pytest.fixture
def wandb(monkeypatch):
    module = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_wandb_gets_every_line_and_goes_on_with_its_run(wandb, tmp_path):
    identity = {"recipe": "tiny", "seed": 0, "settings": {"optimisation": {"lr": 0.1}}}
    for step in (5, 10):
        writers = open_writers(["wandb"], tmp_path / "run", identity, step)
        for writer in writers:
            writer.write(step, {"loss": 1.5})
            writer.close()
    assert wandb.logged == [(5, {"loss": 1.5}), (10, {"loss": 1.5})]
    assert wandb.ended == 2
    first, second = wandb.begun
    assert first == second
    assert (first["resume"], first["name"], first["project"]) == ("allow", "run", "texneg")
    assert first["config"] == identity
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"loss": 1.5, "step": 5}, {"loss": 1.5, "step": 10}]
    open_writers(["wandb"], tmp_path / "other", identity, 0)
    assert wandb.begun[2]["id"] != first["id"]


def test_wandb_that_does_not_answer_ends_in_one_line(wandb, tmp_path, monkeypatch):
    def refuse(**_):
        raise OSError("api_key not configured\n(no-tty)")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(RunFailed, match=r"\(api_key not configured \(no-tty\)\); log in by wandb login, set"):
        open_writers(["wandb"], tmp_path, {}, 0)


def test_tensorboard_gets_a_point_for_each_value(tmp_path, monkeypatch):
    made = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            made.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            made.append((name, value, step))

        def flush(self):
            pass

        def close(self):
            made.append("closed")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    _, writer = open_writers(["tensorboard"], tmp_path, {}, 7)
    writer.write(8, {"loss": 1.0, "lr": 0.1})
    writer.close()
    assert made == [(f"{tmp_path}/tensorboard", 8), ("loss", 1.0, 8), ("lr", 0.1, 8), "closed"]


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setattr("texneg.train.engine.writers.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--log-to wandb: .* missing; pip install 'texneg\[wandb\]'"):
        Run(data="x", log_to=("wandb",)).check()
    monkeypatch.setattr("texneg.train.engine.writers.find_spec", lambda name: name)
    with pytest.raises(InputError, match="name each once"):
        Run(data="x", log_to=("wandb", "wandb")).check()

"""The GPU session on a CPU, tiny: checks that find what is wrong, and what is done stays done."""

import pytest
import torch

from texneg.bench import gpu_checks, gpu_session
from texneg.bench.common.ratios import one_thread
from texneg.datasets.storage.json_files import read_json
from texneg.datasets.toy.embedded import EmbeddedConfig, write_embedded

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def thread():
    """One thread: several wait for one another on a busy machine."""
    with one_thread():
        yield


@pytest.fixture
def data(tmp_path):
    write_embedded(tmp_path / "toy", EmbeddedConfig(train_per_class=6, test_per_class=2, size=48))
    (tmp_path / "toy" / "test" / "same").rename(tmp_path / "toy" / "val")
    return tmp_path / "toy"


def test_checks_pass_here_and_find_a_wrong_value(data, tmp_path, monkeypatch):
    checks = gpu_checks.list_checks(str(data), tmp_path / "check")
    names = ("patches", "network input", "live textures", "resume", "no wait, simo", "graph, memory bank")
    assert all(checks[name](CPU) for name in names)
    original = gpu_checks.patch_negatives
    calls = iter(range(100))
    monkeypatch.setattr(
        gpu_checks, "patch_negatives", lambda x, **rule: original(x, **rule) + next(calls) % 2
    )
    with pytest.raises(AssertionError, match="values differ from the CPU"):
        checks["patches"](CPU)


def test_a_session_writes_as_it_goes_and_goes_on(data, tmp_path, monkeypatch, capsys):
    def fail(device):
        raise RuntimeError("a bad kernel")

    checks = {"good": lambda device: "equal", "bad": fail}
    monkeypatch.setattr(gpu_session, "list_checks", lambda *_: checks)
    monkeypatch.setattr(gpu_session, "list_measurements", lambda *_: {"nothing": list})
    monkeypatch.setattr(gpu_session, "ARMS", {"patch": {"negatives": "patch"}})
    config = gpu_session.SessionConfig(
        data, out=tmp_path / "out", minutes=2, seeds=1, epochs=1, size="tiny", device="cpu"
    )
    assert gpu_session.bench(config) == 1
    assert "bad: RuntimeError: a bad kernel" in capsys.readouterr().err
    checks["bad"], checks["good"] = (lambda device: "mended"), fail
    assert gpu_session.bench(config) == 0  # only the failed check is done again
    done = read_json(tmp_path / "out" / "session.json")
    assert done["checks"]["good"]["result"] == "equal" and done["checks"]["bad"]["result"] == "mended"
    assert done["epochs"] == 1
    assert done["study"]["patch, seed 0"]["result"]["test"]["n"] == 16
    assert len(done["environments"]) == 2


def test_the_measurements_of_a_session_have_rows(data, monkeypatch):
    pytest.importorskip("lightly")
    config = gpu_session.SessionConfig(data, size="tiny", device="cpu")
    measurements = gpu_session.list_measurements(config, CPU)
    assert list(measurements)[:2] == [f"step, {name}" for name in gpu_session.step.GPU_CASES]
    assert measurements["a whole training"]()[0]["figures"]

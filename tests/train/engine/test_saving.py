"""Saving in a thread: copies of what was there, files that are whole, errors that are not lost."""

import errno
import threading

import pytest
import torch

from texneg.errors import RunFailed
from texneg.train.engine import checkpoint
from texneg.train.engine.checkpoint import Saver


def test_what_is_saved_is_what_was_there(tmp_path, monkeypatch):
    go_on, write = threading.Event(), checkpoint.write_bytes

    def wait(path, data):
        assert go_on.wait(60)
        write(path, data)

    weight, step = torch.arange(6.0).view(2, 3), {"momentum": torch.ones(2)}
    monkeypatch.setattr(checkpoint, "write_bytes", wait)
    with Saver() as saver:
        saver.save(
            {tmp_path / "a.pt": {"weight": weight, "same": weight, "row": weight[1], "list": [step, 3]}}
        )
        weight.zero_()  # the next step, before anything is written
        step["momentum"].zero_()
        assert not (tmp_path / "a.pt").exists()
        go_on.set()
    saved = torch.load(tmp_path / "a.pt", weights_only=True)
    assert saved["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert saved["row"].tolist() == [3, 4, 5]
    assert saved["list"][0]["momentum"].tolist() == [1, 1]
    assert saved["list"][1] == 3
    assert saved["same"].data_ptr() == saved["weight"].data_ptr()  # and takes no room of its own


def test_an_error_of_a_save_comes_out_once(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    saver, path = Saver(), tmp_path / "a.pt"
    saver.save({path: {}})
    with pytest.raises(RunFailed, match=r"a\.pt cannot be written \(No space left on device\)"):
        saver.save({path: {}})
    saver.wait()
    with pytest.raises(RunFailed, match="cannot be written"), saver:
        saver.save({path: {}})
    with pytest.raises(KeyError), saver:  # the first error is the one that counts
        saver.save({path: {}})
        raise KeyError

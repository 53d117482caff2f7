"""Online kNN on sets that are small, damaged, or seen by an encoder that is lost."""

import pytest
import torch

from texneg.datasets.images import open_images
from texneg.errors import InputError, RunFailed
from texneg.train.data.reading import Reading
from texneg.train.evaluate.online_knn import OnlineKnn


@pytest.mark.parametrize(("per_class", "bank"), [(1, 1), (2, 3), (12, 20)], ids=str)
def test_a_fifth_is_one_image_at_least_and_a_small_bank_is_said(encoder, colours, per_class, bank):
    folder = colours("set", per_class=per_class, classes=("red", "blue"))
    monitor = OnlineKnn(open_images(folder), str(folder), 16)
    assert (len(monitor.bank), len(monitor.test)) == (bank, 2 * per_class - bank)
    assert 0 <= monitor.measure(encoder) <= 100
    said = f"--knn-every: k is {bank}, not 20, for want of images to search in"
    assert monitor.warning == (said if bank < 20 else "")


def test_damaged_test_images_are_named_or_left_out(encoder, colours, tmp_path):
    colours("data/train")
    test = colours("data/val", seed=1)
    (test / "red" / "red3.png").write_bytes(b"")
    train, data = open_images(tmp_path / "data" / "train"), str(tmp_path / "data")
    with pytest.raises(InputError, match=r"empty: red/red3.png .*--skip-unreadable"):
        OnlineKnn(train, data, 16)
    assert len(OnlineKnn(train, data, 16, Reading(skip_unreadable=True)).test) == 35
    for path in test.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="36 readable images to search in, 0 to classify"):
        OnlineKnn(train, data, 16, Reading(skip_unreadable=True))


@pytest.mark.parametrize("lost", [float("nan"), float("inf")], ids=str)
def test_a_lost_encoder_ends_the_run_instead_of_being_measured(encoder, colours, lost):
    folder = colours("set")
    monitor = OnlineKnn(open_images(folder), str(folder), 16)
    with torch.no_grad():
        encoder.body[1].running_mean.fill_(lost)
    with pytest.raises(RunFailed, match=r"not finite in evaluation mode.*--lr"):
        monitor.measure(encoder)

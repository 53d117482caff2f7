"""An encoder that is opened for a measurement: another order in memory, the same features."""

import timm
import torch

from texneg.train.evaluate.encoders import open_encoder
from texneg.train.networks.encoder import load_encoder
from texneg.train.networks.imported import Foreign


def test_channels_last_changes_rounding_alone(tmp_path):
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "weights.pth")
    foreign = Foreign(arch="resnet10t", image_size=64)
    plain = load_encoder(str(tmp_path / "weights.pth"), device=torch.device("cpu"), foreign=foreign).eval()
    opened = open_encoder(str(tmp_path / "weights.pth"), "cpu", foreign).eval()
    assert opened.fingerprint == plain.fingerprint
    weights = [one for one in opened.parameters() if one.ndim == 4 and one.shape[2] > 1]
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in weights)
    images = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(opened(images), plain(images), rtol=1e-4, atol=1e-4)

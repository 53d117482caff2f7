"""kNN accuracy during training: how good the features are, without training anything on them."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from texneg.datasets.decode import DecodeError
from texneg.datasets.images import ImageSet
from texneg.errors import InputError, RunFailed
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.data.reading import Reading, find_unreadable
from texneg.train.data.sources import make_image_error
from texneg.train.data.splits import find_test, require_labels
from texneg.train.evaluate.encoders import evaluation_mode, find_device
from texneg.train.evaluate.features import U8, crop, read_crops, to_network_input
from texneg.train.evaluate.neighbours import knn_accuracy
from texneg.train.networks.encoder import Encoder
from texneg.train.networks.preprocessing import Preprocessing

BANK, TEST = 5000, 1000  # images at most
BLOCK = 256
K = 20
PLAIN = Reading()


class OnlineKnn:
    """Crops of a sample of labelled images, held in memory: a bank of training images and images to classify.

    The latter are of the split val, validation or test if it has the training classes, otherwise a fifth of
    the sample of training images, kept out of the bank but not out of the (label-free) training.
    """

    def __init__(self, train: ImageSet, data: str, image_size: int, reading: Reading = PLAIN) -> None:
        try:
            require_labels(train)
        except InputError as error:
            raise InputError(f"--knn-every: {error}, or use --knn-every 0") from error
        test = find_test(data, train.classes)
        places = draw_sample(train, BANK)
        if test is None or test.classes != train.classes:
            fifth = max(1, len(places) // 5)
            bank, tested, test = places[fifth:], places[:fifth], train
        else:
            test = replace(test, allow_truncated=reading.allow_truncated)
            bank, tested = places, draw_sample(test, TEST)
            if reading.skip_unreadable:
                tested = np.setdiff1d(tested, list(find_unreadable(test, tested.tolist())))
        if not len(bank) or not len(tested):
            raise InputError(
                f"--knn-every: {len(bank)} readable images to search in, {len(tested)} to classify; it needs"
                " both, or use --knn-every 0"
            )
        self.bank, self.bank_labels = read_test_crops(train, bank, image_size)
        self.test, self.test_labels = read_test_crops(test, tested, image_size)

    @property
    def warning(self) -> str:
        """A line where fewer images vote than usual; else nothing."""
        n = len(self.bank)
        return f"--knn-every: k is {n}, not {K}, for want of images to search in" if n < K else ""

    def measure(self, encoder: Encoder) -> float:
        """Top-1 accuracy in percent; the network is left in the mode it came in.

        Raises:
            RunFailed: the encoder's features are not finite.
        """
        with evaluation_mode(encoder):
            bank, test = compute_features(encoder, self.bank), compute_features(encoder, self.test)
        if not bank.isfinite().all() or not test.isfinite().all():
            raise RunFailed(
                "the encoder's features are not finite in evaluation mode; train in a new --out with a lower"
                " --lr, a longer --warmup, or --no-amp"
            )
        return 100 * knn_accuracy(bank, self.bank_labels, test, self.test_labels, k=K)


def draw_sample(images: ImageSet, most: int) -> npt.NDArray[np.int64]:
    """Draw at most so many places in the data set, the same at every call, in random order."""
    return generator(len(images), Stream.ONLINE_KNN).permutation(len(images))[:most]


def read_test_crops(images: ImageSet, places: npt.NDArray[np.int64], side: int) -> tuple[Tensor, Tensor]:
    """Read test crops, uint8 (N, S, S, 3), and labels (N,)."""

    def stop(error: DecodeError, _: int) -> U8:
        raise make_image_error(error) from error

    blocks = read_crops(
        images, lambda pixels, _: crop(pixels, Preprocessing(side)), block=BLOCK, index=places, instead=stop
    )
    made = [made for block in blocks for made in block]
    return torch.from_numpy(np.stack(made)), torch.from_numpy(images.labels[places])


def compute_features(encoder: Encoder, pixels: Tensor) -> Tensor:
    """Compute features (N, F) of uint8 crops, on the CPU."""
    device = find_device(encoder)
    blocks = pixels.split(BLOCK)
    return torch.cat([encoder(to_network_input(block.to(device), encoder)).float().cpu() for block in blocks])

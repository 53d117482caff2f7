"""kNN accuracy during training: how good the features are, without training anything on them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from texneg.datasets.images import ImageSet, open_images
from texneg.errors import InputError
from texneg.philox import generator
from texneg.train.encoder import Encoder
from texneg.train.evaluate.features import crop, evaluation_mode, normalise
from texneg.train.evaluate.knn import knn_accuracy

PURPOSE = 0x4EA2
BANK, TEST = 5000, 1000  # images at most
BLOCK = 256
THREADS = 4
SPLITS = ("val", "validation", "test")


class Monitor:
    """Crops of a sample of labelled images, held in memory: a bank of training images and images to classify.

    The latter are of the split val, validation or test if one has the training classes, otherwise a fifth of
    the sample of training images, kept out of the bank but not out of the (label-free) training.
    """

    def __init__(self, train: ImageSet, data: str, image_size: int) -> None:
        if len(train.classes) < 2:
            raise InputError(f"--knn-every: {data} has no class folders to classify; use --knn-every 0")
        test = labelled_split(train, data)
        places = sample(train, BANK)
        if test is None:
            fifth = len(places) // 5
            bank, tested, test = places[fifth:], places[:fifth], train
        else:
            bank, tested = places, sample(test, TEST)
        self.bank, self.bank_labels = crops(train, bank, image_size)
        self.test, self.test_labels = crops(test, tested, image_size)

    def measure(self, encoder: Encoder) -> float:
        """Top-1 accuracy in percent; the network is left in the mode it came in."""
        with evaluation_mode(encoder):
            bank, test = features(encoder, self.bank), features(encoder, self.test)
        return 100 * knn_accuracy(bank, self.bank_labels, test, self.test_labels)


def labelled_split(train: ImageSet, data: str) -> ImageSet | None:
    """The first held-out split that has the classes of the training images."""
    for split in SPLITS:
        if (Path(data) / split).is_dir():
            images = open_images(data, split)
            if images.classes == train.classes:
                return images
    return None


def sample(images: ImageSet, most: int) -> npt.NDArray[np.int64]:
    """At most so many places in the data set, the same at every call, in random order."""
    return generator(len(images), PURPOSE).permutation(len(images))[:most]


def crops(images: ImageSet, places: npt.NDArray[np.int64], side: int) -> tuple[Tensor, Tensor]:
    """Test crops uint8 (N, S, S, 3) and labels (N,)."""
    with ThreadPoolExecutor(THREADS) as pool:
        made = pool.map(lambda place: crop(images[int(place)][0], side), places)
        return torch.from_numpy(np.stack(list(made))), torch.from_numpy(images.labels[places])


def features(encoder: Encoder, pixels: Tensor) -> Tensor:
    """Features (N, F) of uint8 crops, on the CPU."""
    device = next(encoder.parameters()).device
    blocks = pixels.split(BLOCK)
    return torch.cat([encoder(normalise(block.to(device), encoder)).float().cpu() for block in blocks])

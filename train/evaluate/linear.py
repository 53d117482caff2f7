"""A linear head on frozen features: fitted by multinomial logistic regression, kept in `head.pt`.

A sweep of penalties from strong to weak. The problem is convex, so there is no learning rate to tune and
nothing random but the validation split, which is a function of the seed.

Shapes: N images, F features, C classes.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from texneg.cli import console
from texneg.datasets.storage.atomic import write_bytes
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.evaluate.encoders import Encoder
from texneg.train.evaluate.logistic import minimise, sweep
from texneg.train.networks.preprocessing import Resize

FORMAT = "texneg-head-1"
OWN = "own"  # in place of a path
PENALTIES = tuple(10.0 ** (-2 * i / 3) for i in range(10))  # 1 ... 1e-6, strong to weak
VALIDATION_SHARE = 0.1
TO_CHOOSE = 1e-5  # of a minimum, to compare penalties


@dataclass(frozen=True)
class Head:
    """Class scores of standardised features, and how they were chosen."""

    mean: Tensor
    """float32 (F,), subtracted from the features."""
    std: Tensor
    """float32 (F,), divides them; 1 where a feature is constant."""
    weight: Tensor
    """float32 (C, F)."""
    bias: Tensor
    """float32 (C,)."""
    classes: tuple[str, ...]
    """C class folder names, in the order of the scores."""
    encoder: str = ""
    """Fingerprint of the encoder that made the features."""
    penalty: float = 0.0
    """Chosen on the validation split: penalty / 2 * ||weight||^2 was added to the mean cross-entropy."""
    validation: float | None = 0.0
    """Top-1 share on that split, before the refit on everything; None where nothing could be held out."""
    flip: bool = False
    """Its features are means over an image and its mirror image."""
    resize: Resize | None = None
    """Of the images it was fitted on; None for that of the encoder."""
    transform: str = ""
    """Name of their resize and crop; empty in files of earlier versions."""
    data: str = ""
    """Fingerprint of a sample of each of them; empty in files of earlier versions."""
    protocol: str = "lbfgs"
    """Protocol that it was fitted by, in words."""

    def logits(self, features: Tensor) -> Tensor:
        """Scores (N, C) of features (N, F)."""
        return (features - self.mean) / self.std @ self.weight.T + self.bias

    @property
    def fingerprint(self) -> str:
        """sha256 of the numbers and class names."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for part in (self.mean, self.std, self.weight, self.bias):
            digest.update(part.numpy().tobytes())
        return digest.hexdigest()


def validation_split(labels: Tensor, *, share: float = VALIDATION_SHARE, seed: int = 0) -> Tensor:
    """Boolean (N,), true for images held out: the same share of every class, at least one image of two."""
    held = np.zeros(len(labels), bool)
    for label in labels.unique().tolist():
        members = np.flatnonzero(labels.numpy() == label)
        count = max(1, round(share * len(members))) if len(members) > 1 else 0
        held[generator(seed, Stream.VALIDATION_SPLIT, label).permutation(members)[:count]] = True
    return torch.from_numpy(held)


def standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (F,) of each feature; constant features keep a deviation of 1."""
    mean, std = features.mean(0), features.std(0, correction=0)
    return mean, torch.where(std > 1e-6 * mean.abs() + 1e-12, std, 1.0)


def fit_probe(
    train_features: Tensor,
    train_labels: Tensor,
    *,
    classes: Sequence[str],
    penalties: Sequence[float] = PENALTIES,
    steps: int = 100,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Head:
    """Fit a linear head: choose the penalty on a held-out tenth, then refit on all images.

    The choice is by cross-entropy: accuracy on a few hundred held-out images moves in steps as large as the
    differences sought, and would hand each run another penalty by chance. Where every class has one image,
    none can be held out: the strongest penalty is taken, whose head lies nearest to the classes' means.

    Args:
        train_features: float32 (N, F).
        train_labels: int64 (N,), in 0 ... C - 1.
        classes: C names.
        penalties: tried from strong to weak.
        steps: at most for each penalty.
        seed: of the validation split.
        device: where to compute. The head comes back on the CPU.

    Raises:
        InputError: fewer than two classes, no penalty, or features that cannot be standardised.
    """
    if len(train_features) != len(train_labels) or train_features.ndim != 2:
        raise ValueError(f"features {tuple(train_features.shape)} do not go with {len(train_labels)} labels")
    if train_labels.unique().numel() < 2:
        raise InputError("a linear probe needs images of at least two classes")
    if not penalties or not min(penalties) > 0:
        raise InputError(f"penalties {list(penalties)}: one or more, above 0")
    if not all(part.isfinite().all() for part in standardisation(train_features.float())):
        raise InputError(
            "the features are not finite, or too large to be standardised: training has diverged"
        )
    held = validation_split(train_labels, seed=seed)
    values, labels = train_features.float().to(device), train_labels.to(device)
    best = Choice(max(penalties), None, values.new_zeros(len(classes), values.shape[1] + 1))
    if held.any():
        best = choose_penalty(
            values, labels, held.to(device), classes=len(classes), penalties=penalties, steps=steps
        )

    mean, std = standardisation(values)
    solution = minimise(
        (values - mean) / std, labels, best.start, penalty=best.penalty, steps=2 * steps
    ).cpu()
    head = Head(mean.cpu(), std.cpu(), solution[:, :-1].clone(), solution[:, -1].clone(), tuple(classes))
    return replace(head, penalty=best.penalty, validation=best.validation)


class Choice(NamedTuple):
    """A penalty, and a solution to start the final fit from."""

    penalty: float
    validation: float | None
    """top-1 share on the images held out; None without any"""
    start: Tensor
    """(C, F + 1)"""


def choose_penalty(
    values: Tensor, labels: Tensor, held: Tensor, *, classes: int, penalties: Sequence[float], steps: int
) -> Choice:
    """Choose the penalty with the lowest cross-entropy on the images held out, at least one.

    Args:
        values: (N, F).
        labels: int64 (N,).
        held: boolean (N,).
        classes: C.
        penalties: tried from strong to weak.
        steps: at most for each.
    """
    mean, std = standardisation(values[~held])
    x, y = (values[~held] - mean) / std, (values[held] - mean) / std
    found: list[tuple[float, Choice]] = []
    swept = sweep(x, labels[~held], classes=classes, penalties=penalties, steps=steps, tolerance=TO_CHOOSE)
    for penalty, solution in swept:
        scores = torch.addmm(solution[:, -1], y, solution[:, :-1].T)
        loss = F.cross_entropy(scores, labels[held]).item()
        right = (scores.argmax(1) == labels[held]).double().mean().item()
        found.append((loss, Choice(penalty, right, solution)))
    return min(found, key=lambda one: one[0])[1]


def make_plain_head(weight: Tensor, bias: Tensor, classes: Sequence[str]) -> Head:
    """Make a head of features as they are, not standardised."""
    features = weight.shape[1]
    return Head(torch.zeros(features), torch.ones(features), weight, bias, tuple(classes))


def save_head(path: str, head: Head) -> None:
    """Write a head as a dictionary that `torch.load(..., weights_only=True)` reads."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **vars(head), "classes": list(head.classes)}, buffer)
    write_bytes(Path(path), buffer.getvalue())


def make_own_head(encoder: Encoder) -> Head:
    """Make a head of the classifier that a supervised model of ImageNet brings along.

    Raises:
        InputError: it has none, or one whose classes are not the 1,000 of ImageNet, named by WordNet id.
    """
    from timm.data import ImageNetInfo

    imported = getattr(encoder, "imported", None)
    if imported is None or imported.classifier is None:
        raise InputError("--head own: these weights have no linear classifier; fit one with texneg probe")
    weight, bias = imported.classifier
    classes = tuple(ImageNetInfo("imagenet-1k").label_names())
    if len(weight) != len(classes):
        raise InputError(
            f"--head own: the classifier has {len(weight)} classes, whose names are unknown (1000 would be"
            " ImageNet's); fit a head with texneg probe"
        )
    return replace(make_plain_head(weight, bias, classes), encoder=encoder.fingerprint, protocol=OWN)


def head_file(out: str | Path, name: str) -> Path:
    """Place of a head in a run folder."""
    return Path(out) / (f"head-{name}.pt" if name else "head.pt")


def find_head(text: str, out: str) -> tuple[str, str]:
    """Find name and path of a head that was given as a path, as its name in a run folder, or as `own`."""
    if text == OWN and not Path(text).is_file():
        return OWN, OWN
    if not Path(text).is_file() and head_file(out, text).is_file():
        return text, str(head_file(out, text))
    stem = Path(text).stem
    return stem.removeprefix("head").removeprefix("-"), text


def load_head(path: str, encoder: Encoder) -> Head:
    """Read a head and check that it belongs to this encoder; anything else raises `InputError`.

    `own` in place of a path is the classifier that a supervised model brings along.
    """
    if path == OWN and not Path(path).is_file():
        return make_own_head(encoder)
    if not Path(path).is_file():
        raise InputError(f"no head at {path!r}; make one with: texneg probe CHECKPOINT --data DIR --out DIR")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each kind of damage
        raise InputError(
            f"{path!r} cannot be read as a head ({type(error).__name__}); make it again with texneg probe"
        ) from error
    if not isinstance(state, dict) or state.pop("format", None) != FORMAT:
        raise InputError(f"{path!r} is not a {FORMAT} file; give the head.pt that texneg probe wrote")
    try:
        head = Head(**{**state, "classes": tuple(state["classes"])})
    except (KeyError, TypeError) as error:
        raise InputError(f"{path!r} is damaged; make it again with texneg probe") from error
    if head.encoder != encoder.fingerprint:
        raise InputError(
            f"head {path!r} was fitted on encoder {head.encoder[:12]}, this one is "
            f"{encoder.fingerprint[:12]}; run texneg probe on this checkpoint"
        )
    if not head.transform:
        console.info(
            f"{path}: fitted by an earlier version, whose crops differ by a pixel; texneg probe fits it anew"
        )
    return head

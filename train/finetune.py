"""`texneg finetune`: encoder and head trained together on some of the labels; the encoder that comes out.

SGD of learning rate 0.05 without weight decay, momentum 0.9, a half cosine over 30 epochs of random crops and
flips. Batch norm trains too: its statistics are those of the new images. The head begins with small weights.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from texneg import __version__
from texneg.cli import console
from texneg.cli.console import plural
from texneg.cli.fields import Positional
from texneg.datasets.fingerprint import fingerprint, sample_fingerprint
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError, RunFailed
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.convert import collect_tensors, write_encoder
from texneg.train.data.loader import Batch, Batches
from texneg.train.data.reading import find_unreadable
from texneg.train.data.splits import require_labels
from texneg.train.engine.optimiser import MOMENTUM, cosine_lr, set_lr
from texneg.train.evaluate.encoders import describe_encoder, find_device, open_encoder
from texneg.train.evaluate.features import extract, to_network_input
from texneg.train.evaluate.fitting import Fit, load_batches, make_batches
from texneg.train.evaluate.linear import head_file, make_plain_head, save_head
from texneg.train.evaluate.outcomes import save_outcomes
from texneg.train.evaluate.probe import (
    ProbeConfig,
    is_split_of,
    open_sets,
    outcomes_name,
    record_file,
    require_own_place,
)
from texneg.train.evaluate.sets.accuracy import describe_accuracy, measure_accuracy
from texneg.train.evaluate.sgd import SPREAD
from texneg.train.networks.encoder import Encoder, load_encoder
from texneg.train.networks.imported import Foreign


@dataclass(frozen=True)
class FinetuneConfig:
    """Train an encoder with a head on some of the labels. Run the same command again to go on."""

    checkpoint: Positional[str]
    """run folder, encoder.pt, file of another project's weights, or timm:NAME"""
    data: str
    """labelled training images: class folders or tar shards; its `train` split where it has one"""
    out: str
    """folder of its own for encoder.safetensors, head.pt and probe.json"""
    labels: float = 1.0
    """share of the images of each class to learn from: 0.01, 0.1 or 1, at least one image"""
    lr: float = 0.05
    """learning rate at the beginning"""
    epochs: int = 30
    """passes over the images"""
    batch: int = 256
    """images a step"""
    seed: int = 0
    """of the choice of images, of order and crops, and of the head's first weights"""
    workers: int = 0
    """loader processes; 0 makes crops in this process"""
    test: str | None = None
    """test images; without it, the `val`, `validation` or `test` split of --data where there is one"""
    device: str = "auto"
    """auto, cpu or cuda"""
    foreign: Foreign = Foreign()

    def check(self) -> None:
        """Refuse values outside their range.

        Raises:
            InputError: naming the flag and what it may be.
        """
        for wrong, message in (
            (not 0 < self.labels <= 1, f"--labels {self.labels}: a share, above 0 and at most 1"),
            (not 0 < self.lr < float("inf"), f"--lr {self.lr}: above 0"),
            (self.epochs < 1, f"--epochs {self.epochs}: at least 1"),
            (self.batch < 2, f"--batch {self.batch}: at least 2 images"),
            (self.workers < 0, f"--workers {self.workers}: 0 or more"),
        ):
            if wrong:
                raise InputError(message)

    @property
    def protocol(self) -> str:
        """The protocol in words, to stand beside the number."""
        return (
            f"fine-tuned on {self.labels:.3g} of the labels: SGD, lr {self.lr:g}, batch {self.batch},"
            f" {self.epochs} epochs, cosine, random crops and flips, batch norm trained"
        )


class FineTuning(Fit):
    """Encoder and head on their way."""

    def __init__(
        self,
        config: FinetuneConfig,
        encoder: Encoder,
        batches: Batches,
        labels: Tensor,
        classes: int,
        **own: Any,
    ) -> None:
        super().__init__(per_epoch=batches.steps_per_epoch, epochs=config.epochs, batch=batches.batch, **own)
        self.config, self.encoder, self.batches, self.labels = config, encoder, batches, labels
        self.device = find_device(encoder)
        self.backbone = encoder.network.backbone.requires_grad_(True)
        drawn = generator(config.seed, Stream.HEAD).normal(0, SPREAD, (classes, encoder.feature_dim))
        self.head = nn.Linear(encoder.feature_dim, classes, device=self.device)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(drawn))
            self.head.bias.zero_()
        self.trained = nn.ModuleList([self.backbone, self.head])
        self.optimiser = torch.optim.SGD(self.trained.parameters(), lr=config.lr, momentum=MOMENTUM)

    def read(self, steps: range) -> Iterator[Batch]:
        """Yield crops."""
        return load_batches(self.batches, steps, self.config.workers, pin=self.device.type == "cuda")

    def advance(self, taken: Batch) -> None:
        """Make a step of SGD."""
        self.trained.train()
        set_lr(self.optimiser, cosine_lr(self.step, peak=self.config.lr, total=self.total))
        self.optimiser.zero_grad(set_to_none=True)
        features = self.backbone(to_network_input(taken.query.to(self.device), self.encoder))
        self.loss = F.cross_entropy(self.head(features), self.labels[taken.indices].to(self.device))
        self.loss.backward()
        self.optimiser.step()

    def end_epoch(self, epoch: int) -> str:
        """Look at the loss."""
        if not self.loss.isfinite():
            raise RunFailed(
                f"the loss is not finite after epoch {epoch}; give a lower --lr, and another --out"
            )
        return f"epoch {epoch}: loss {self.loss.item():.3f}"

    def state(self) -> dict[str, Any]:
        """Weights, batch norm statistics and momentum."""
        return {"trained": self.trained.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self.trained.load_state_dict(state["trained"])
        self.optimiser.load_state_dict(state["optimiser"])


def finetune(config: FinetuneConfig) -> int:
    """Train, or go on; write the encoder, its head, and its accuracy on the test images."""
    config.check()
    require_folder(config.out, "--out")
    out, as_probe = (
        Path(config.out),
        ProbeConfig(config.checkpoint, config.data, config.out, test=config.test),
    )
    train, test = open_sets(as_probe)
    require_labels(train)
    require_own_place(as_probe, train)
    encoder = open_encoder(config.checkpoint, config.device, config.foreign)
    chosen = choose_labels(train.labels, config.labels, config.seed)
    if unreadable := find_unreadable(train, chosen.tolist()):
        raise InputError(f"{next(iter(unreadable.values()))}; replace this image, or take it out of the set")
    images = train.take(chosen)
    batches = make_batches(images, encoder.preprocessing, batch=config.batch, seed=config.seed)
    decisive = {name: getattr(config, name) for name in ("labels", "lr", "epochs", "batch", "seed")}
    identity = {**decisive, "encoder": encoder.fingerprint, "data": fingerprint(train, None)}
    fit = FineTuning(
        config, encoder, batches, torch.from_numpy(images.labels), len(train.classes),
        path=out / "finetune.fit.pt", identity=identity,
    )  # fmt: skip
    fit.resume()
    fit.run()
    tuned, head = write_result(out, fit, train.classes, sample_fingerprint(train), config)
    tested = None
    if test is not None:
        seen = extract(tuned, test, bad="wrong")
        near = is_split_of(config.data, config.test)
        found = measure_accuracy(head, seen, test.classes, rank=near)
        save_outcomes(out / outcomes_name(""), found.keys, found.values, found.answers)
        tested = {
            **found.numbers["masked"], **found.numbers, "data": fingerprint(test, None),
            "in_distribution": near, "unreadable": seen.unreadable, "bad": "wrong",
        }  # fmt: skip
    write_json(
        record_file(out, ""),
        {
            "protocol": config.protocol,
            "choice": "last epoch",
            **describe_encoder(tuned),
            "encoder": tuned.fingerprint,
            "from": identity["encoder"],
            "name": "",
            "head": head.fingerprint,
            "classes": list(head.classes),
            "data": sample_fingerprint(train),
            "n_train": len(images),
            "unreadable": 0,
            "validation": None,
            "test": tested,
            "config": asdict(config),
            "version": __version__,
        },
    )
    fit.finish()
    shown = "no test set given" if tested is None else f"test: {describe_accuracy(tested)}"
    number = plural(len(images), "training image")
    console.out(f"{config.protocol}: {number}, last epoch; {shown} -> {out / 'encoder.safetensors'}")
    return 0


def choose_labels(labels: npt.NDArray[np.int64], share: float, seed: int) -> npt.NDArray[np.int64]:
    """Choose a share of the images of each class, at least one: places, ascending.

    A larger share holds the images of a smaller one.
    """
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = generator(seed, Stream.LABEL_SHARE, int(label)).permutation(members)
        chosen.append(order[: max(1, round(share * len(members)))])
    return np.sort(np.concatenate(chosen))


def write_result(
    out: Path, fit: FineTuning, classes: tuple[str, ...], data: str, config: FinetuneConfig
) -> tuple[Encoder, Any]:
    """Write encoder and head, and open the encoder as others will."""
    fit.trained.eval().requires_grad_(False)
    path = out / "encoder.safetensors"
    write_encoder(path, fit.encoder, collect_tensors(fit.encoder, classifier=False))
    tuned = load_encoder(str(path), device=str(fit.device))
    head = make_plain_head(fit.head.weight.detach().cpu(), fit.head.bias.detach().cpu(), classes)
    prepared = tuned.preprocessing
    head = replace(
        head,
        encoder=tuned.fingerprint,
        resize="torchvision" if prepared.enlarges else "no-enlargement",
        transform=prepared.transform,
        data=data,
        protocol=config.protocol,
    )
    save_head(str(head_file(out, "")), head)
    return tuned, head

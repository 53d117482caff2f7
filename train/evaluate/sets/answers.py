"""Answers of a head to the images of a set.

They come block by block, so that the scores of all images are never in memory at once.

Shapes: n images, F features, C head classes, M choices.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from texneg.train.evaluate.class_space import ClassSpace, choose
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.metrics.calibration import measure_calibration
from texneg.train.evaluate.metrics.reciprocal_rank import rank_reciprocally
from texneg.train.evaluate.outcomes import Answers

BLOCK = 4096  # images at a time
FIVE = 5  # of top-5
SHORT = np.iinfo(np.int16).max


@dataclass(frozen=True)
class Answered:
    """Answers of a head to images, judged."""

    right: dict[str, Tensor]
    """boolean (n,) by rule, masked and unmasked"""
    among_five: dict[str, Tensor]
    """boolean (n,): one of the five likeliest is right, by rule; only where there are more than five"""
    answers: Answers
    """among the choices"""
    reciprocal: Tensor
    """float64 (n,): reciprocal rank of the best right class among all classes of the head"""
    calibration: dict[str, Any] | None
    """of the masked answers to images that can be read, plain values; `over` says among which classes"""


def answer(
    head: Head, values: Tensor, readable: Tensor, space: ClassSpace, *, rank: bool = False
) -> Answered:
    """Answer for the n images of a class space that count.

    Args:
        head: gives the scores.
        values: (n, F) their features.
        readable: boolean (n,); the others are wrong.
        space: choices and right classes.
        rank: keep the classes in order of their scores as far as the last right one.
    """
    blocks = list(_answer_blocks(head, values, space, rank))
    joined = {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}
    right = {rule: joined[rule] & readable for rule in ("masked", "unmasked")}
    five = {rule: joined[f"{rule} five"] & readable for rule in right if f"{rule} five" in joined}
    confidence = torch.where(readable, joined["confidence"], 0.0).float().numpy()
    places: type[np.int16 | np.int32] = np.int16 if len(head.classes) <= SHORT else np.int32
    answers = Answers(
        predicted=torch.where(readable, joined["predicted"], -1).numpy().astype(places),
        confidence=confidence,
        target=joined["target"].numpy().astype(places),
        ranking=joined["ranking"].numpy() if rank else None,
        ranking_right=joined["ranking right"].numpy() if rank else None,
        ranked=joined["ranked"].numpy().astype(np.int32) if rank else None,
    )
    seen = readable.numpy()
    found = measure_calibration(
        confidence[seen], right["masked"].numpy()[seen], joined["surprise"].numpy()[seen]
    )
    over = "all" if len(space.columns) == len(head.classes) else "masked"
    told = None if found is None else {"over": over, **_plain(asdict(found))}
    return Answered(right, five, answers, torch.where(readable, joined["reciprocal"], 0.0), told)


def _answer_blocks(head: Head, values: Tensor, space: ClassSpace, rank: bool) -> Iterator[dict[str, Tensor]]:
    """Yield what `answer` joins, all choices by their places among the M."""
    together = _join_groups(space)
    columns, labels = space.columns, space.labels[space.known]
    for block, folders in zip(values.split(BLOCK), labels.split(BLOCK), strict=True):
        logits, right = head.logits(block), space.right[folders]  # both (n, C)
        chosen = choose(logits, space)
        found = {rule: right.gather(1, place[:, None])[:, 0] for rule, place in chosen.items()}
        for rule, places in (("unmasked", torch.arange(logits.shape[1])), ("masked", columns)):
            if rule == "masked" and len(columns) == logits.shape[1]:
                found |= {"masked five": found["unmasked five"]} if "unmasked five" in found else {}
            elif len(places) > FIVE:
                five = places[logits[:, places].topk(FIVE).indices]
                found[f"{rule} five"] = right.gather(1, five).any(1)
        found["reciprocal"] = rank_reciprocally(logits, right)
        predicted = torch.searchsorted(columns, chosen["masked"])
        logs = logits[:, columns].log_softmax(1)
        among = right[:, columns]
        found["predicted"] = predicted
        found["target"] = torch.where(found["masked"], predicted, among.int().argmax(1))
        found["confidence"] = torch.where(together[predicted], logs.exp(), 0.0).sum(1).clamp(max=1.0)
        found["surprise"] = -logs.masked_fill(~among, -torch.inf).logsumexp(1)
        if rank:
            order = logits.argsort(dim=1, descending=True, stable=True)
            there = right.gather(1, order)
            last = there.shape[1] - there.flip(1).int().argmax(1)  # classes as far as the last right one
            found["ranked"] = last
            kept = torch.arange(order.shape[1]) < last[:, None]
            small = torch.int16 if len(head.classes) <= SHORT else torch.int32
            found["ranking"], found["ranking right"] = order[kept].to(small), there[kept]
        yield found


def _join_groups(space: ClassSpace) -> Tensor:
    """Boolean (M, M): choices that are right for the same folder, of which any is as good as another."""
    together = torch.eye(len(space.columns), dtype=torch.bool)
    for group in space.groups:
        places = torch.searchsorted(space.columns, torch.tensor(group))
        together[places[:, None], places] = True
    return together


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """Make a dictionary of dataclass values what JSON gives back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

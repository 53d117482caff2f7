"""The two measurements on one test set: accuracy over its shared classes, and decisions between two cues.

Shapes: N images, F features, C head classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from texneg.errors import InputError
from texneg.train.evaluate.accuracy import predictions, score, share_classes
from texneg.train.evaluate.features import Features
from texneg.train.evaluate.head import Head
from texneg.train.evaluate.knn import knn_scores
from texneg.train.evaluate.sets.shape_bias import category_scores, decisions, summarise, texture_of

K, TEMPERATURE = 20, 0.07  # of the kNN vote


@dataclass(frozen=True)
class Measured:
    """The numbers of one test set, and its images one by one."""

    numbers: dict[str, Any]
    """a row of ood.json"""
    keys: tuple[str, ...]
    """images that count"""
    values: npt.NDArray[np.int8]
    """their outcomes; see `texneg.train.evaluate.outcomes`"""


def measure_accuracy(
    head: Head,
    features: Features,
    folders: Sequence[str],
    *,
    bank: Features | None = None,
) -> Measured:
    """Masked and unmasked accuracy on the classes that head and set share; kNN too where a bank is given.

    Args:
        head: of the encoder that made the features.
        features: of the test set.
        folders: its class folder names; those unknown to the head are left out, counted and named.
        bank: features of the head's training images, labelled as `head.classes`.
    """
    shared = share_classes(head.classes, folders, features.labels)
    known, targets = shared.known, shared.targets[shared.known]
    values = features.values[known]
    chosen = predictions(head.logits(values), shared)
    right = {rule: prediction == targets for rule, prediction in chosen.items()}
    numbers = {
        "kind": "accuracy",
        "n": len(targets),
        "classes": len(shared.names),
        "class_names": list(shared.names),
        "chance": 1 / len(shared.names),
        "left_out": {"images": int((~known).sum()), "classes": list(shared.unknown)},
        **{rule: score(correct) for rule, correct in right.items()},
    }
    if bank is not None:
        near = torch.isin(bank.labels, shared.columns)
        blocks = knn_scores(
            bank.values[near],
            bank.labels[near],
            values,
            classes=len(head.classes),
            k=K,
            temperature=TEMPERATURE,
        )
        votes = torch.cat([block.argmax(1) for block in blocks])
        numbers["knn"] = {**score(votes == targets), "k": K, "temperature": TEMPERATURE}
    return Measured(numbers, _kept(features.keys, known.numpy()), right["masked"].numpy().astype(np.int8))


def measure_shape_bias(
    head: Head,
    features: Features,
    folders: Sequence[str],
    *,
    mapping: Mapping[str, Sequence[str]] | None = None,
) -> Measured:
    """Shape bias on a cue-conflict set, over the images whose two cues differ and can both be chosen.

    Args:
        head: of the encoder that made the features.
        features: of the cue-conflict set; names are <shape><i>-<texture><j>.
        folders: its class folder names: the shapes.
        mapping: category to head classes, decided by the mean of their probabilities.
    """
    shapes = [folders[label] for label in features.labels.tolist()]
    textures = [texture_of(key, shape) for key, shape in zip(features.keys, shapes, strict=True)]
    scores, categories = category_scores(head.logits(features.values), head.classes, mapping)
    disagree = np.array([s != t for s, t in zip(shapes, textures, strict=True)])
    decidable = np.array([s in categories and t in categories for s, t in zip(shapes, textures, strict=True)])
    kept = disagree & decidable
    if not kept.any():
        raise InputError(
            f"no image has two different cues among {', '.join(categories[:6])}, ...; "
            "name a --mapping file from its categories to the head's classes"
        )
    at = np.flatnonzero(kept)
    shapes, textures = [shapes[i] for i in at], [textures[i] for i in at]
    chosen = decisions(scores[torch.from_numpy(kept)], categories, shapes, textures)
    bias = summarise(chosen, shapes)
    numbers = {
        "kind": "shape-bias",
        "n": bias.n,
        "classes": len(categories),
        "class_names": list(categories),
        "left_out": {"same_cue": int((~disagree).sum()), "undecidable": int((disagree & ~decidable).sum())},
        "shape_bias": bias.bias,
        "low": bias.interval.low if bias.interval else None,
        "high": bias.interval.high if bias.interval else None,
        "cue_accuracy": bias.cue_accuracy,
        "shape": bias.shape,
        "texture": bias.texture,
        "by_category": bias.by_category,
    }
    return Measured(numbers, _kept(features.keys, kept), chosen)


def _kept(keys: Sequence[str], kept: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(key for key, counts in zip(keys, kept.tolist(), strict=True) if counts)

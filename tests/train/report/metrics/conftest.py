"""Run folders whose sets were answered by a head that reads the scores off invented features."""

import json

import pytest
import torch

from texneg.datasets.class_maps import ClassMap
from texneg.train.evaluate.features import Features
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.outcomes import save_outcomes
from texneg.train.evaluate.sets.accuracy import measure_accuracy
from texneg.train.evaluate.sets.corruptions import Corruptions

CLASSES = tuple(f"c{i}" for i in range(10))


class RunFolder:
    """A folder with ood.json and outcomes; an arm of its own unless it gets settings."""

    def __init__(self, path, *, arm=None, seed=0, classes=CLASSES):
        self.path, self.classes, self.sets = path, classes, []
        path.mkdir(parents=True)
        if arm is not None:
            record = {"title": arm, "seed": seed, "settings": {"arm": arm}, "baseline": {"arm": "baseline"}}
            (path / "config.json").write_text(json.dumps(record))

    def answer(self, n, skill, *, seed, classes=None, rank=False, keys=None):
        """Record and outcomes of n images, of which more are right the greater the skill."""
        names = classes or self.classes
        size = len(self.classes)
        head = Head(torch.zeros(size), torch.ones(size), torch.eye(size), torch.zeros(size), self.classes)
        labels = torch.arange(n) % len(names)
        places = torch.tensor([self.classes.index(name) for name in names])[labels]
        noise = torch.randn(n, size, generator=torch.Generator().manual_seed(seed))
        features = noise + skill * torch.eye(size)[places]
        declared = ClassMap("some", {name: (name,) for name in names}) if classes else None
        keys = keys or [f"{names[label]}/{i}" for i, label in enumerate(labels.tolist())]
        return measure_accuracy(
            head, Features(features, labels, tuple(keys)), names, declared=declared, rank=rank
        )

    def add(self, name, found, *, kind="accuracy", data=None, clean=False, part=""):
        """Keep a cell."""
        outcomes = f"outcomes/{name}{part}.npz"
        save_outcomes(self.path / outcomes, found.keys, found.values, found.answers)
        told = {"name": name, "kind": kind, "head": "h", "head_name": "", "data": data or name}
        told |= {"transform": "t", "in_distribution": clean, "outcomes": outcomes, "options": {}}
        record = {**found.numbers, **told}
        self.sets.append(record)
        return record

    def add_corruptions(self, name, skills, *, seed, n=120, severities=(1, 3), data="clean"):
        """A set of a cell for each corruption and severity, whose skill falls with severity."""
        cells = []
        for place, (corruption, skill) in enumerate(skills.items()):
            for severity in severities:
                found = self.answer(n, skill / severity, seed=1000 * seed + 10 * place + severity)
                cell = self.add(name, found, kind="corruptions", data=data, part=f"-{corruption}-{severity}")
                self.sets.pop()
                cell |= {
                    "part": f"{corruption}-{severity}",
                    "constants": "imagenet-c",
                    "published_size": True,
                }
                cell["options"] = {
                    "corruption": corruption,
                    "severity": severity,
                    "jpeg_quality": 85,
                    "frost": None,
                }
                cells.append(cell)
        same = {field: cells[0][field] for field in ("kind", "name", "head", "head_name", "transform")}
        self.sets.append(
            {**Corruptions.headline(cells), **same, "data": data, "cells": cells, "unreadable": 0}
        )
        return cells

    def write(self):
        """Write ood.json; returns the path."""
        heads = [{"name": "", "head": "h", "classes": list(self.classes)}]
        found = {
            "encoder": self.path.name,
            "heads": heads,
            "sets": self.sets,
            "transform": "t",
            "version": "0",
        }
        (self.path / "ood.json").write_text(json.dumps(found))
        return str(self.path)


@pytest.fixture
def make_run(tmp_path):
    """A function that makes a run folder."""
    return lambda name, **options: RunFolder(tmp_path / name, **options)

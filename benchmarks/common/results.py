"""The options that benchmarks share, and the file that their results are written to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from texneg.cli.environment import environment


@dataclass(frozen=True)
class BenchConfig:
    """Options of every benchmark."""

    json: Path | None = field(default=None, kw_only=True)
    """file to write the results and the environment to; those that README quotes lie in benchmarks/results"""


@dataclass(frozen=True)
class RatioConfig(BenchConfig):
    """Measure speed as ratios to peers and physical limits, within one run."""

    check: bool = False
    """end with status 1 when a ratio misses its limit"""
    quick: bool = False
    """fewer rounds, under half a minute in all; noisier"""


@dataclass(frozen=True)
class PhotosConfig(RatioConfig):
    """Measure speed as ratios to peers and physical limits, within one run, and quality of textures."""

    photos: Path | None = None
    """tar of photographs: textures are also judged on them, beside the published tool's stored figures"""


def write_results(config: BenchConfig, results: Mapping[str, Any], **about: str) -> None:
    """Write the environment, `about` and the results to the file that `config` names, if it names one.

    The recorded command holds the names of files without their folders, which differ between machines.
    """
    if config.json is None:
        return
    machine = environment()
    command = " ".join(Path(word).name if "/" in word else word for word in machine["command"].split())
    record = {"environment": machine | {"command": command} | about, **results}
    config.json.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    print(config.json)

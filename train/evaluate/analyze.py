"""`texneg analyze NAME`: one of the analyses of a frozen encoder, from a sample of images to NAME.json."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from texneg import __version__
from texneg.cli import console
from texneg.cli.main import parse
from texneg.datasets.fingerprint import sample_fingerprint
from texneg.datasets.storage.json_files import read_json, write_json
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError
from texneg.train.evaluate.analyses import ANALYSES
from texneg.train.evaluate.analyses.base import Analysis, draw_sample
from texneg.train.evaluate.encoders import describe_encoder, open_encoder
from texneg.train.evaluate.features import REMEDY, describe_unreadable


def analyze(config: Analysis) -> int:
    """Measure a sample of images, write the numbers and print their summary."""
    if config.images < 0 or config.images == 1:
        raise InputError(f"--images {config.images}: needs two or more, or 0 for all")
    require_folder(config.out, "--out")
    encoder = open_encoder(config.checkpoint, config.device, config.foreign)
    images = replace(config.open_images(), allow_truncated=config.allow_truncated)
    index = draw_sample(len(images), config.images or len(images), seed=config.seed)
    bad = config.find_unreadable(images, index)
    if bad and (config.bad == "error" or len(bad) == len(index)):
        raise InputError(
            f"{len(bad)} of {len(index)} images cannot be read (first: {next(iter(bad.values()))}); {REMEDY}"
        )
    index = np.setdiff1d(index, np.array(list(bad), np.int64))
    found = config.measure(encoder, images, index)
    record = {
        "images": len(index),
        "unreadable": len(bad),
        "data": sample_fingerprint(images),
        "encoder": encoder.fingerprint,
        "seed": config.seed,
        **describe_encoder(encoder),
        "config": {"analysis": config.name, **asdict(config)},
        "version": __version__,
    }
    write_json(Path(config.out) / f"{config.name}.json", {**found, **record})
    for line in config.summary(found):
        console.out(line)
    if bad:
        console.out(f"{len(index)} images{describe_unreadable(len(bad), 'skip')}")
    return 0


def is_current(config: Analysis) -> bool:
    """Return True if its JSON file is there, and of the images that are there now, if they still are."""
    path = Path(config.out) / f"{config.name}.json"
    if not path.is_file():
        return False
    try:
        images = config.open_images()
    except InputError:
        return True
    return bool(read_json(path).get("data") == sample_fingerprint(images))


def read_command(words: list[str]) -> Analysis:
    """Parse a command line: the name of an analysis in the table, then its flags."""
    known = {analysis.name: analysis for analysis in ANALYSES}
    if not words or words[0] in ("-h", "--help"):
        print(
            "usage: texneg analyze NAME CHECKPOINT --data DIR --out DIR [options]\n\n"
            "Look at a frozen encoder; texneg analyze NAME --help explains the options of one analysis.\n"
        )
        for name, analysis in known.items():
            print(f"  {name:<14}{(analysis.__doc__ or '').splitlines()[0]}")
        raise SystemExit(0 if words else 2)
    name, *rest = words
    if name not in known:
        raise InputError(f"no analysis {name!r}; choose from: {', '.join(known)}")
    config: Analysis = parse(known[name], f"analyze {name}", rest)
    return config

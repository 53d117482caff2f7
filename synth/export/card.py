"""The card of an export: README.md with the header that Hugging Face reads, and the rest for people."""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from texneg import __version__
from texneg.cli.console import format_bytes, plural
from texneg.datasets.encode import Encoding
from texneg.datasets.storage.json_files import to_json
from texneg.datasets.storage.names import show
from texneg.synth.export.formats import Columns, FormatName, WrittenShard
from texneg.synth.export.samples import Survey
from texneg.synth.ledger.manifest import Status
from texneg.synth.ledger.record import Record

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]*")
"""Of a licence, such as cc-by-4.0; any other line is shown as it is."""
UNSTATED = "Not stated. A texture is made of pixels of its image, whose licence applies."
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def make_card(
    name: str,
    form: FormatName,
    columns: Columns,
    survey: Survey,
    shards: Sequence[WrittenShard],
    record: Record,
    licence: str | None,
) -> str:
    """Make the card. Equal exports give equal cards: it holds no date and no place on this machine.

    Args:
        name: of the data set.
        form: of its files.
        columns: of the data set.
        survey: its samples in numbers.
        shards: its large files, or the tables of an imagefolder.
        record: of the run that made the textures.
        licence: the line that the user gave.
    """
    header = yaml.safe_dump(
        _header(name, form, columns, survey, licence), sort_keys=False, allow_unicode=True, width=1000
    )
    sections = [
        f"# {name}\n\n{_introduce(columns, survey)}",
        f"## Samples\n\n{_table(survey)}\n\n{_describe_columns(form, columns)}",
        f"## Opening it\n\n{_example(form, columns, next(iter(survey.counts)), record.settings.encoding)}",
        f"## Sources\n\n{_describe_sources(survey, record)}",
        f"## Licence\n\n{licence or UNSTATED}",
        f"## Checksums\n\n{_checksums(form, shards)}",
    ]
    return "\n\n".join([f"---\n{header}---", *sections]) + "\n"


def _header(
    name: str, form: FormatName, columns: Columns, survey: Survey, licence: str | None
) -> dict[str, Any]:
    header: dict[str, Any] = {"pretty_name": name}
    if licence and IDENTIFIER.fullmatch(licence.lower()):
        header["license"] = licence.lower()
    elif licence:
        header |= {"license": "other", "license_name": licence}
    header["tags"] = ["image", "texture", "texneg"]
    size = next((words for limit, words in SIZES if survey.samples < limit), "n>1M")
    header["size_categories"] = [size]
    if form == "litdata":
        return header
    splits = list(survey.counts)
    header["configs"] = [
        {"config_name": "default", "data_files": [_data_files(form, split) for split in splits]}
    ]
    header["dataset_info"] = {
        "features": _features(form, columns),
        "splits": [
            {"name": split, "num_bytes": survey.sizes[split], "num_examples": survey.counts[split]}
            for split in splits
        ],
    }
    return header


def _data_files(form: FormatName, split: str) -> dict[str, str]:
    return {"split": split, "path": f"data/{split}-*.parquet" if form == "parquet" else f"{split}/**"}


def _features(form: FormatName, columns: Columns) -> list[dict[str, Any]]:
    """The features in the order in which the format's reader has them."""
    features: list[dict[str, Any]] = [{"name": name, "dtype": "image"} for name in columns.pictures]
    features.append({"name": "key", "dtype": "string"})
    if columns.classes:
        names = {"class_label": {"names": {str(i): name for i, name in enumerate(columns.class_names)}}}
        features.append({"name": "label", "dtype": "string" if form == "imagefolder" else names})
    return features


def _introduce(columns: Columns, survey: Survey) -> str:
    what = "Photographs and their textures" if columns.images else "Textures of photographs"
    n = len(columns.classes)
    classes = f" of {n} class{'es' if n > 1 else ''}" if n else ""
    return (
        f"{what}: {plural(survey.samples, 'sample')}{classes}. A texture has the local statistics of its"
        " image and none of its objects; contrastive learning takes it as a negative of that image (Ge et"
        " al., NeurIPS 2021)."
    )


def _table(survey: Survey) -> str:
    rows = [
        f"| {split} | {count} | {format_bytes(survey.sizes[split])} |"
        for split, count in survey.counts.items()
    ]
    return "\n".join(["| split | samples | size |", "|---|---|---|", *rows])


def _describe_columns(form: FormatName, columns: Columns) -> str:
    lines = {
        "image": "the image, the bytes of its file unchanged",
        "texture": "its texture, losslessly encoded as it was made",
        "key": "name of the image, the same for both",
    }
    if columns.classes:
        number = "name" if form == "imagefolder" else "number"
        lines["label"] = f"{number} of its class; {'-1' if form == 'litdata' else 'null'} without one"
    kept = {name: text for name, text in lines.items() if name in (*columns.pictures, "key", "label")}
    text = "\n".join(f"- `{name}`: {line}" for name, line in kept.items())
    if form != "litdata" or not columns.classes:
        return text
    return f"{text}\n\nClasses by number: {', '.join(columns.class_names)}"


def _example(form: FormatName, columns: Columns, split: str, encoding: Encoding) -> str:
    if form == "litdata":
        module, function = {
            "tiff": ("import tifffile", "tifffile.imread"),
            "npy": ("import numpy as np", "np.load"),
        }.get(encoding, ("from PIL import Image", "Image.open"))
        code = [
            "from io import BytesIO",
            "",
            module,
            "from litdata import StreamingDataset",
            "",
            f'samples = StreamingDataset("{split}")  # the folder of a split',
            f'texture = {function}(BytesIO(samples[0]["texture"]))',
        ]
    else:
        code = [
            "from datasets import load_dataset",
            "",
            f'samples = load_dataset("PATH", split="{split}")  # the folder that holds this file',
            'texture = samples[0]["texture"]  # an image of Pillow',
        ]
    if columns.images and form != "litdata":
        code.append('image = samples[0]["image"]')
    return "\n".join(["```python", *code, "```"])


def _describe_sources(survey: Survey, record: Record) -> str:
    settings = record.settings
    formats = ", ".join(f"{count} {form}" for form, count in survey.formats.items())
    out = {str(s): n for s, n in survey.statuses.items() if s != Status.OK}
    left = f" Left out: {', '.join(f'{n} {status}' for status, n in out.items())}." if out else ""
    exemplars = "96 px, the same share of images under 224 px" if settings.exemplar_size is None else ""
    lines = {
        "images": record.src.rstrip("/").rpartition("/")[2],
        "method": f"{settings.method}, version {settings.method_version}",
        "seed": str(settings.seed),
        "side of a texture": f"{settings.size} px",
        "exemplars": exemplars or f"{settings.exemplar_size} px",
        "levels": "of the method" if settings.levels is None else str(settings.levels),
        "made by": f"texneg {record.versions.get('texneg', 'of unknown version')}",
        "exported by": f"texneg {__version__}",
    }
    table = "\n".join(
        ["| | |", "|---|---|", *(f"| {name} | {show(value)} |" for name, value in lines.items())]
    )
    every = {name: value for name, value in settings.flat().items() if value is not None}
    given = to_json(every, indent=None).decode().strip()
    settings_of_run = f"All settings of the run:\n\n```json\n{given}\n```"
    return f"Made of {formats or 'no'} files.{left}\n\n{table}\n\n{settings_of_run}"


def _checksums(form: FormatName, shards: Sequence[WrittenShard]) -> str:
    rows = [f"| {shard.path} | {shard.samples} | {shard.bytes} | `{shard.sha256}` |" for shard in shards]
    table = "\n".join(["| file | samples | bytes | sha256 |", "|---|---|---|---|", *rows])
    every = " (every image, too)" if form == "imagefolder" else ""
    return f"`sha256sum -c SHA256SUMS` checks every file{every}.\n\n{table}"

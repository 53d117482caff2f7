"""Figures that README and docs quote are those of the committed results.

`quotes` is the list: a page, and a sentence or a row of a table as it has to stand there, written from the
results. A result that is measured anew makes a test fail until its page says the new figure.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PHOTOS = "224 px textures of 40 photographs, ratios to the published tool"


@cache
def read(name: str) -> Any:
    """Read a results file."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))


def bench(name: str, case: str, variant: str) -> dict[str, Any]:
    """Find a row of a benchmark; its time is there as `us` and as `ms`, its ratios by their names."""
    (row,) = (row for row in read(name)["rows"] if (row["case"], row["variant"]) == (case, variant))
    time = row["microseconds"] or 0.0
    return {"us": time, "ms": time / 1000, **row["ratios"]}


def kind(title: str) -> dict[str, str]:
    """Write the figures of a kind of the audit of 250 photographs as tables have them."""
    (row,) = (row for row in read("audit")["photographs"]["rows"] if row["title"] == title)
    tell = [f"{one['auc']:.2f}" for one in row["tell"] if not one["colour"]]
    leak = row["leak"]
    return {
        "short": " / ".join(auc.removeprefix("0") for auc in tell[:2]),
        "tell": " / ".join(tell),
        "percent": f"{100 * leak['top1']:.0f} %",
        "leak": f"{100 * leak['top1']:.1f} | {100 * leak['top5']:.1f} | {leak['median_rank'] + 1:.0f} |"
        f" {leak['cosine']:.2f}",
    }


def seams(title: str) -> str:
    """Write the figures of patches with other seams."""
    (row,) = (row for row in read("patch_seams")["rows"] if row["kind"] == title)
    tell = {
        name: f"{value if isinstance(value, float) else value[0]:.2f}" for name, value in row["tell"].items()
    }
    grey, colour = (
        " ".join(tell[f"{px} px {name}"].removeprefix("0") for px in (5, 20)) for name in ("grey", "colour")
    )
    return f"{grey} | {colour} | {row['leak']['top1']:.1f} | {row['leak']['top5']:.1f} |"


def quotes() -> Iterator[tuple[str, str]]:
    """List pages, and what each says by the results."""
    yield from quote_negatives()
    yield from quote_speed()
    yield from quote_runs()


def quote_negatives() -> Iterator[tuple[str, str]]:
    """List what README and docs say of tell, leak and cost."""
    patch, texture, live, image = map(kind, ("patch", "texture", "texture_live", "the image"))
    patch_us = f"{bench('negatives', '224 px uint8 HWC, 1 image', 'numba')['us']:.1f} µs"
    cost = {
        name: f"{bench('textures', PHOTOS, name)['ms']:.1f} ms"
        for name in ("fast", "default", "quality", "live")
    }
    yield "README.md", f"| {patch['short']} | {patch['percent']} | {patch_us} |"
    yield "README.md", f"| {kind('patch_permutation')['short']} | {kind('patch_permutation')['percent']} |"
    yield "README.md", f"on the device of the batch | {live['short']} | {live['percent']} | {cost['live']} |"
    yield (
        "README.md",
        f"paired by key | {texture['short']} | {texture['percent']} |",
    )
    yield "README.md", f"another crop of the image {kind('another crop')['short']}"
    yield "README.md", f"(on the photographs {image['percent']})"
    small = seams("patch size 16-48 mirror 3 blend 0.125")
    yield "docs/use-in-your-loop.md", f'| `size="small", mirror=3, blend=0.125` | {small}'
    for words, title in (
        ("another crop of the photograph", "another crop"),
        ("the paper's (`paper=True`)", "patch paper"),
        ("`blend=0.125`", "patch blend 0.125"),
        ('`size="small"`', "patch size 16-48"),
        ('`size="small", mirror=2`', "patch size 16-48 mirror 2"),
        ("`flip=True, rotate=True`", "patch flip rotate"),
        ("one square of 96 px, mirrored", "one square, mirrored"),
    ):
        yield "docs/use-in-your-loop.md", f"| {words} | {seams(title)}"
    for words, title, costs in (
        ("`patch`", "patch", patch_us),
        ("`patch:paper`", "patch paper", patch_us),
        ("`patch_permutation`", "patch_permutation", "as patch"),
        ("`texture`", "texture", ""),
        ("`texture` fast", "texture fast", ""),
        ("`texture` quality", "texture quality", ""),
        ("`texture` fast, `--exemplars paper`", "texture fast, paper", cost["fast"]),
        ("`texture` default, `--exemplars paper`", "texture paper", cost["default"]),
        ("`texture` quality, `--exemplars paper`", "texture quality, paper", cost["quality"]),
        ("`texture_live`", "texture_live", cost["live"]),
        ("*one square, mirrored*", "one square, mirrored", ""),
        ("*pixels shuffled*", "pixels shuffled", ""),
    ):
        found = kind(title)
        yield "docs/negatives.md", f"| {words} | {found['tell']} | {found['leak']} | {costs}".rstrip()
    for words, title in (
        ("`patch:flip,rotate`", "patch flip rotate"),
        ("`patch:size=16-48`", "patch size 16-48"),
        ("`patch:size=8-32`", "patch size 8-32"),
        ("`texture`, `--exemplars paper --levels 2`", "texture levels 2"),
        ("`texture_live:exemplar=48`", "texture_live exemplar 48"),
    ):
        found = kind(title)
        yield "docs/negatives.md", f"| {words} | {found['tell']} | {found['leak']} |"


def quote_speed() -> Iterator[tuple[str, str]]:
    """List what docs say of the speed of negatives, loading, training steps and evaluation."""
    for words, case in (
        ("224 px, uint8", "224 px uint8 HWC, 1 image"),
        ("224 px, float32 CHW, as published", "224 px float32 CHW, 1 image"),
    ):
        copy, ours = bench("negatives", case, "copy of the bytes"), bench("negatives", case, "numba")
        yield (
            "docs/speed.md",
            (
                f"| {words} | {copy['us']:.1f} | {ours['us']:.1f} | {ours['of copy speed']:.2f} |"
                f" {ours['x official']:.0f} |"
            ),
        )
    methods = ("fast", "default", "quality", "live")
    for words, name, form in (
        ("ms of CPU", "ms", ".1f"),
        ("sliced Wasserstein distance, of the published tool's", "swd", ".2f"),
        ("seam energy, likewise", "seam_ratio", ".2f"),
        ("longest verbatim copy, likewise", "largest_verbatim", ".2f"),
    ):
        values = " | ".join(format(bench("textures", PHOTOS, method)[name], form) for method in methods)
        yield "docs/speed.md", f"| {words} | {values} |"
    tool = read("published_tool")["tool_over_texneg"]
    times = " | ".join(f"{round(tool[method]['median'], -1):.0f}" for method in methods[:3])
    yield "docs/speed.md", f"| times less CPU than the published tool | {times} |"
    small = bench("textures", "texture negatives of 64 px, batch 16", "live")["ms"]
    yield "docs/speed.md", f"at 64 px it takes {small:.2f} ms of a core"
    loading = {
        name: bench("loader", "decode and two 224 px views", name)["x official"]
        for name in ("files", "JPEG cache", "raw cache")
    }
    yield (
        "docs/train.md",
        (
            f"files {loading['files']:.1f}, JPEG cache {loading['JPEG cache']:.0f}, raw cache"
            f" {loading['raw cache']:.0f}."
        ),
    )
    views = [bench("views", case, "compiled")["x Pillow"] for case in ("224 px, moco_v2", "32 px, wang_liu")]
    yield (
        "docs/train.md",
        (
            f"a view of 224 px {views[0]:.0f} times as fast as torchvision's operators on Pillow images"
            f" (MoCo-v2), of 32 px {views[1]:.0f} times"
        ),
    )
    step = bench("step", "ResNet-18, 64 px, batch 64", "--bn split --amp-cpu")
    yield "docs/train.md", f"{step['speed, of lightly']:.1f} times with `--amp-cpu` against their float32"
    probe = bench("probe", "12000 x 512, 100 classes, 7 penalties", "texneg")["x scikit-learn"]
    yield "docs/evaluate.md", f"scikit-learn's L-BFGS (1/{probe:.1f}) on one core"
    own, published = (
        bench("corruptions", "mean rate over the fifteen", f"compiled, {stream} stream")["x straight"]
        for stream in ("own", "legacy")
    )
    yield (
        "docs/evaluate.md",
        (
            f"is {own:.0f} times that of the published algorithms in NumPy and OpenCV, {published:.0f} times"
            " with the published random stream"
        ),
    )
    suppressing = bench("suppressions", "mean rate over all", "texneg")["x straight"]
    yield (
        "docs/analyses.md",
        f"the mean rate over all strengths is {suppressing:.1f} times that of OpenCV and NumPy",
    )


def quote_runs() -> Iterator[tuple[str, str]]:
    """List what docs say of texture runs and of the study."""
    scale, workers = read("scale"), read("workers")
    yield "docs/scale.md", f"| 300 MB | 150 MB | {scale['driver MB, peak of it all']:.0f} MB |"
    yield (
        "docs/scale.md",
        (
            f"{scale['ms of CPU a shard, all']:.1f} ms:"
            f" {scale['ms of CPU a shard, driver with client and scheduler']:.1f} /"
            f" {scale['ms of CPU a shard, workers']:.1f} |"
        ),
    )
    for words, name in (("embedded Dask cluster", "dask"), ("job array, without a scheduler", "array")):
        found = workers[name]
        yield (
            "docs/scale.md",
            (
                f"| {words} | {found['one process, images/s']:.0f} images/s |"
                f" {found['two processes, images/s']:.0f} images/s | {found['two against one']:.2f}"
            ),
        )
    yield "docs/scale.md", f"these are {len(read('kill')['runs'])} runs"
    for form in ("folder", "webdataset"):
        found = read("synth")["formats"][form]
        parts = found["ms_per_image"]
        cells = [
            parts[name] for name in ("read", "decode", "synthesis", "encode", "write", "all else", "whole")
        ]
        yield (
            "docs/speed.md",
            (
                f"| {form} | {' | '.join(f'{cell:.2f}' for cell in cells)} |"
                f" {found['images_per_second_per_core']:.0f} | {100 * found['kernel_share']:.0f} % |"
            ),
        )
    yield from quote_demo()
    tables = read("study-cpu")["tables"]
    for words, table, name in (
        ("imagenette validation | 2000", "imagenette", "probe test"),
        ("PACS art painting | 1104", "pacs", "art_painting"),
        ("PACS cartoon | 1062", "pacs", "cartoon"),
        ("PACS sketch | 980", "pacs", "sketch"),
    ):
        (row,) = (row for row in tables[table] if row["name"] == name)
        first, *others = (100 * cell["mean"] for cell in row["cells"])
        changes = [100 * cell["difference"]["mean"] for cell in row["cells"][1:]]
        cells = [
            f"{mean:.1f} ({change:+.1f})".replace("-", "−")
            for mean, change in zip(others, changes, strict=True)
        ]
        yield "docs/evidence.md", f"| {words} | {first:.1f} | {' | '.join(cells)} |"


def quote_demo() -> Iterator[tuple[str, str]]:
    """List what pages say of the demo's runs."""
    found = read("demo")
    rows = {
        (row["head"], row["name"], row["kind"]): row["arms"] for row in found["table"] + found["similarity"]
    }
    for words, key, scale, form, pages in (
        ("shape, as in training", ("shape", "probe test", "accuracy"), 100, ".1f", 2),
        ("shape, new textures", ("shape", "new-textures", "accuracy"), 100, ".1f", 2),
        ("shape, silhouettes", ("shape", "silhouettes", "accuracy"), 100, ".1f", 2),
        ("shape, line drawings", ("shape", "line-drawings", "accuracy"), 100, ".1f", 1),
        ("shape, biased labels, misleading textures", ("biased", "cue-conflict", "accuracy"), 100, ".1f", 2),
        ("texture, as in training", ("texture", "probe test", "accuracy"), 100, ".1f", 1),
        (
            "cosine with another view of the image",
            ("", "cosine with another view of it", "mean"),
            1,
            ".3f",
            1,
        ),
        ("cosine with the image's own patches", ("", "cosine with its patch", "mean"), 1, ".3f", 1),
        ("cosine with its own texture", ("", "cosine with its texture", "mean"), 1, ".3f", 2),
        ("AUC, another view against own patches", ("", "AUC against its patch", "mean"), 1, ".3f", 1),
        ("AUC, another view against own texture", ("", "AUC against its texture", "mean"), 1, ".3f", 1),
    ):
        cells = [f"{scale * rows[key]['baseline']['mean']:{form}}"]
        for arm in ("patch", "texture"):
            change = rows[key][arm]["change"]
            spans = [span for span in (change["over_images"], change["over_seeds"]) if span]
            sure = all(low > 0 for low, _ in spans) or all(high < 0 for _, high in spans)
            words_of = f"{scale * change['mean']:+{form}}".replace("-", "−")
            mean = f"{scale * rows[key][arm]['mean']:{form}}"
            cells.append(f"{mean} ({f'**{words_of}**' if sure else words_of})")
        for page in ("docs/start.md", "README.md")[:pages]:
            yield page, f"| {words} | {' | '.join(cells)} |"


@pytest.mark.parametrize(("page", "quote"), list(quotes()))
def test_a_page_quotes_the_committed_result(page: str, quote: str) -> None:
    text = " ".join((ROOT / page).read_text("utf-8").split())
    assert " ".join(quote.split()) in text

"""Names of foreign weights, translated to timm's.

The names of a backbone differ between projects in three ways. A prefix: `module.encoder_q.conv1.weight`
(official MoCo), `backbone.conv1.weight` (solo-learn). A spelling: `backbone.4.0.conv1.weight` (a ResNet's
children in a row, as in lightly's examples). Or all names, with the layers in the same order. A *part* is
what a prefix names: one network among those of a file.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from texneg.cli.console import plural
from texneg.errors import InputError
from texneg.train.networks.weights import Weights

COUNTER = "num_batches_tracked"  # of a batch norm; no weight, and absent from old files
FOLLOWERS = ("momentum", "encoder_k", "key", "target", "ema", "student")
"""Words in the names of networks that follow another, or, a student, are not the one to keep."""
VIT_NAMES = (  # torchvision's names of a vision transformer, and timm's
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^class_token$", "cls_token"),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"^encoder\.ln\.", "norm."),
    (r"^heads\.head\.", "head."),
    (r"^(blocks\.\d+)\.ln_(\d)\.", r"\1.norm\2."),
    (r"^(blocks\.\d+)\.self_attention\.in_proj_", r"\1.attn.qkv."),
    (r"^(blocks\.\d+)\.self_attention\.out_proj\.", r"\1.attn.proj."),
    (r"^(blocks\.\d+)\.mlp\.(?:0|linear_1)\.", r"\1.mlp.fc1."),
    (r"^(blocks\.\d+)\.mlp\.(?:3|linear_2)\.", r"\1.mlp.fc2."),
)


@dataclass(frozen=True)
class Import:
    """Tensors of a file under the names of one network."""

    part: str
    """prefix of the names that were taken, with its dot"""
    others: tuple[str, ...]
    """prefixes of other parts that would fit as well"""
    tensors: Mapping[str, Tensor]
    """by timm's names"""
    matched: Mapping[str, str]
    """names in the file by timm's names"""
    dropped: tuple[str, ...]
    """names of the file that were not taken"""
    missing: tuple[str, ...]
    """counters of batch norms, which old files lack"""
    by_order: bool = False
    """names have nothing in common: layers were matched by their order and shapes"""

    def describe(self) -> list[str]:
        """Lines for the terminal: matched, dropped and missing keys, by their beginnings."""
        how = ", by order and shape" if self.by_order else ""
        also = f" (also there: {', '.join(map(describe_part, self.others))})" if self.others else ""
        return [
            f"matched {len(self.matched)}{how}, of {describe_part(self.part)}{also}: "
            f"{summarise(self.matched)}",
            f"dropped {len(self.dropped)}: {summarise(self.dropped)}",
            f"missing {len(self.missing)}: {summarise(self.missing)}",
        ]


def to_timm(names: Sequence[str]) -> dict[str, str]:
    """Translate the names of one network into timm's, by name; names of no known spelling stay.

    >>> to_timm(["0.weight", "1.weight", "4.0.conv1.weight", "5.0.shortcut.0.weight", "5.0.conv1.weight"])
    ... # doctest: +NORMALIZE_WHITESPACE
    {'0.weight': 'conv1.weight', '1.weight': 'bn1.weight', '4.0.conv1.weight': 'layer1.0.conv1.weight',
     '5.0.shortcut.0.weight': 'layer2.0.downsample.0.weight', '5.0.conv1.weight': 'layer2.0.conv1.weight'}
    """
    stages = sorted(
        {int(found[1]) for name in names if (found := re.match(r"(\d+)\.0\.conv1\.weight$", name))}
    )
    plain = sorted({int(found[1]) for name in names if (found := re.match(r"(\d+)\.\w+$", name))})
    numbers = dict(zip(map(str, stages), (f"layer{i}" for i in range(1, 5)), strict=False))
    if stages:
        numbers |= dict(zip(map(str, plain), ("conv1", "bn1"), strict=False))
    translated = {}
    for name in names:
        first, dot, rest = name.partition(".")
        new = f"{numbers.get(first, first)}{dot}{rest}".replace(".shortcut.", ".downsample.")
        for pattern, replacement in VIT_NAMES:
            new = re.sub(pattern, replacement, new)
        translated[name] = new
    return translated


def match(weights: Weights, target: Mapping[str, Tensor], *, arch: str, part: str | None = None) -> Import:
    """Take from a file the weights of one network.

    Args:
        weights: the file.
        target: the network's own weights, by timm's names, in the order of its layers.
        arch: of the network, for messages.
        part: prefix of the names to take; None for the part that fits best, and of equal ones the one that is
            trained rather than the one that follows.

    Raises:
        InputError: nothing fits, or a weight of the network is missing or has another shape; names it.
    """
    parts = (
        [f"{part.rstrip('.')}." if part else ""]
        if part is not None
        else list_parts(weights.tensors, len(target))
    )
    named: Import | None = None
    wanted = sum(not name.endswith(COUNTER) for name in target)
    for by_order in (False, True) if weights.ordered else (False,):
        tried = [match_part(weights, target, prefix, by_order=by_order) for prefix in parts]
        best = max(tried, key=lambda one: (len(one.matched), *rank_part(one.part, weights)), default=None)
        if best and sum(not name.endswith(COUNTER) for name in best.matched) == wanted:
            break
        named = named or best
    else:
        best = named
    if best is None or not best.matched:
        first = ", ".join(list(weights.tensors)[:3])
        where = f" under {part!r}" if part else ""
        raise InputError(
            f"{weights.path}: none of {plural(len(weights.tensors), 'key')} ({first}, ...) fits"
            f" {arch}{where}; name its architecture with --arch, or another part of the file with --part"
        )
    lacking = [name for name in target if name not in best.matched and not name.endswith(COUNTER)]
    if lacking:
        raise InputError(describe_misfit(weights, target, best, lacking, arch))
    if extra := find_extra(weights, best):
        raise InputError(
            f"{weights.path}: {describe_part(best.part)} has weights that {arch} has no place for"
            f" ({', '.join(extra[:5])}{', ...' if len(extra) > 5 else ''}), so its features would be others;"
            " name its architecture with --arch"
        )
    others = tuple(one.part for one in tried if one is not best and len(one.matched) == len(best.matched))
    used = set(best.matched.values())
    return Import(
        best.part,
        others,
        best.tensors,
        best.matched,
        tuple(name for name in weights.tensors if name not in used),
        tuple(name for name in target if name not in best.matched),
        best.by_order,
    )


def find_extra(weights: Weights, found: Import) -> list[str]:
    """Find weights that were not taken although they lie in a block, such as `blocks.0.ls1.gamma`."""

    def stage(name: str) -> tuple[str, ...]:
        first, second, *rest = [*name.split("."), "", ""]
        return (first, "" if second.isdigit() else second) if any(rest[:-1]) else ()

    own = {name.removeprefix(found.part): name for name in weights.tensors if name.startswith(found.part)}
    used, stages = set(found.matched.values()), {stage(name) for name in found.matched}
    return [
        name
        for short, new in to_timm(list(own)).items()
        if (name := own[short]) not in used
        and not found.by_order
        and stage(new) in stages - {()}
        and weights.tensors[name].is_floating_point()
        and not new.endswith(("attn_mask", "relative_coords_table"))
    ]


def match_part(weights: Weights, target: Mapping[str, Tensor], part: str, *, by_order: bool) -> Import:
    """Match the tensors of one part with a network by name and shape, or by order and shape."""
    own = {name.removeprefix(part): name for name in weights.tensors if name.startswith(part)}
    if by_order:
        matched = match_by_order(weights, target, list(own.values()))
    else:
        named = {new: own[name] for name, new in to_timm(list(own)).items()}
        matched = {
            name: named[name]
            for name, value in target.items()
            if name in named and weights.tensors[named[name]].shape == value.shape
        }
    tensors = {name: weights.tensors[source] for name, source in matched.items()}
    return Import(part, (), tensors, matched, (), (), by_order)


def match_by_order(weights: Weights, target: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, str]:
    """Pair names one by one if kinds (the last word of a name) and shapes agree all along, or return none.

    More names may follow, such as those of a classifier.
    """

    def kind(name: str, value: Tensor) -> tuple[str, torch.Size]:
        return name.rpartition(".")[2], value.shape

    for skipped in ((), (COUNTER,)):
        wanted = [name for name in target if not name.endswith(skipped)]
        there = [name for name in names if not name.endswith(skipped)][: len(wanted)]
        if [kind(name, target[name]) for name in wanted] == [kind(n, weights.tensors[n]) for n in there]:
            return dict(zip(wanted, there, strict=True))
    return {}


def list_parts(tensors: Mapping[str, Tensor], size: int) -> list[str]:
    """List the prefixes that at least half as many names have as the network has weights."""
    counts = Counter(name[: at + 1] for name in tensors for at, letter in enumerate(name) if letter == ".")
    return ["", *(prefix for prefix, count in counts.items() if 2 * count >= size)]


def follows(part: str) -> bool:
    """Return True for a part that, by its name, is second to another."""
    return any(word in part for word in FOLLOWERS)


def rank_part(part: str, weights: Weights) -> tuple[bool, int]:
    """Rank a part among equal ones: one that leads before one that follows, then the one with fewer names."""
    return not follows(part), -sum(name.startswith(part) for name in weights.tensors)


def describe_part(part: str) -> str:
    """Name a part for a message."""
    return part.rstrip(".") or "the whole file"


def describe_misfit(
    weights: Weights, target: Mapping[str, Tensor], best: Import, lacking: Sequence[str], arch: str
) -> str:
    """Say which weights of the network a file lacks or has in another shape."""
    there = {name.removeprefix(best.part): name for name in weights.tensors if name.startswith(best.part)}
    named = {new: there[name] for name, new in to_timm(list(there)).items()}
    words = []
    for name in lacking[:5]:
        shape = "x".join(map(str, target[name].shape))
        own = named.get(name)
        found = "x".join(map(str, weights.tensors[own].shape)) if own else ""
        words.append(f"{name} ({shape}{f', the file has {found}' if found else ''})")
    more = ", ..." if len(lacking) > 5 else ""
    return (
        f"{weights.path}: {len(lacking)} of {len(target)} weights of {arch} are missing or of another shape"
        f" in {describe_part(best.part)}: {', '.join(words)}{more}; name its architecture with --arch and"
        " --stem, or another part of the file with --part"
    )


def summarise(names: Iterable[str]) -> str:
    """List names with the same beginning together: `layer1.* (60), fc.weight`."""
    groups: dict[str, list[str]] = {}
    for name in names:
        words = name.split(".")
        if len(words) == 1:
            groups[name] = [name]
            continue
        stop = next((i for i, word in enumerate(words) if re.fullmatch(r"(layer)?\d+", word)), len(words) - 1)
        groups.setdefault(".".join(words[: stop + (stop < len(words) - 1)]), []).append(name)
    return (
        ", ".join(f"{head}.* ({len(all_)})" if len(all_) > 1 else all_[0] for head, all_ in groups.items())
        or "none"
    )


def to_torchvision(tensors: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors with timm's names those of torchvision's model, by name, else by order and shape.

    Args:
        tensors: of a backbone, with or without its classifier.
        target: weights of torchvision's model.

    Returns:
        Those for which there is a name.
    """
    found = {
        name: tensors[new]
        for name, new in to_timm(list(target)).items()
        if new in tensors and tensors[new].shape == target[name].shape
    }
    if len(found) == len(tensors):
        return found
    pairs = match_by_order(Weights(Path(), target), tensors, list(target))
    return {name: tensors[own] for own, name in pairs.items()}

"""The part of a texture run's configuration that decides pixels and names, and its fingerprint."""

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

from texneg.datasets.encode import Encoding
from texneg.datasets.sources.sources import Kind

Small = Literal["shrink-patch", "upscale", "skip"]
Layout = Literal["textures", "paired"]
Exif = Literal["ignore", "apply"]
DECODE_POLICY = 2
"""Raised whenever the pixels of any input change."""


@dataclass(frozen=True)
class Settings:
    """All that changes pixels or names: runs with equal settings and equal inputs give equal bytes."""

    format: Kind
    size: int
    exemplar_size: int
    seed: int
    method: str
    method_version: int
    encoding: Encoding
    small: Small
    splits: Literal["auto", "none"]
    naming: Literal["replace", "append"]
    limit: int | None
    shard_size: int | None
    """None where it does not show in the output: class folders, or tars that mirror the input's."""
    decode_policy: int = DECODE_POLICY
    layout: Layout = "textures"
    exif: Exif = "ignore"
    allow_truncated: bool = False

    def fingerprint(self, plan_digest: str) -> str:
        """Hex sha256 of the settings and the plan."""
        value = {**asdict(self), "plan": plan_digest}
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

    def differences(self, other: dict[str, Any]) -> list[str]:
        """`field: other -> own` for each field in which a stored run differs."""
        own = asdict(self)
        other = {
            **{field.name: field.default for field in fields(self) if field.default is not MISSING},
            **other,
        }
        names = [name for name in {**own, **other} if own.get(name) != other.get(name)]
        return [f"{name}: {other.get(name)} -> {own.get(name)}" for name in names]

"""The settings of a texture run that decide pixels and names, and their fingerprint."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from texneg.datasets.encode import Encoding
from texneg.datasets.sources.sources import SourceKind

Small = Literal["shrink-patch", "upscale", "skip"]
Layout = Literal["textures", "paired"]
Exif = Literal["ignore", "apply"]
DECODE_POLICY = 2
"""Raised whenever the pixels of any input change."""


@dataclass(frozen=True)
class Settings:
    """Everything that changes pixels or names: equal settings and equal inputs give equal bytes."""

    format: SourceKind
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
    """None where the output does not depend on it: class folders, or tars that mirror the input's."""
    decode_policy: int = DECODE_POLICY
    layout: Layout = "textures"
    exif: Exif = "ignore"
    allow_truncated: bool = False

    def fingerprint(self, plan_digest: str) -> str:
        """Hex sha256 of the settings and the plan."""
        value = {**asdict(self), "plan": plan_digest}
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

    def differences(self, stored: "Settings") -> list[str]:
        """List `field: stored -> own` for each field in which the settings of a stored run differ."""
        pairs = zip(asdict(stored).items(), asdict(self).values(), strict=True)
        return [f"{name}: {other} -> {own}" for (name, other), own in pairs if other != own]

"""Negatives with diminished semantics for contrastive vision models (Ge et al., NeurIPS 2021)."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("texneg")

# Public name -> module that holds it, imported on first use so that the command line starts without torch.
_HOMES = {
    "patch_negatives": "texneg.patches.patches",
    "patch_permutation": "texneg.patches.patches",
    "patch_inputs": "texneg.patches.network_input",
    "PatchNegatives": "texneg.patches.transform",
    "mixed_negatives": "texneg.mixture",
    "NegativeCollate": "texneg.collate",
    "Indexed": "texneg.collate",
    "exemplars": "texneg.textures.exemplars",
    "texture": "texneg.textures.texture",
    "texture_negatives": "texneg.textures.live.negatives",
    "Similarities": "texneg.similarity",
    "similarities": "texneg.similarity",
    "in_batch_similarities": "texneg.similarity",
    "select": "texneg.selection",
    "info_nce": "texneg.losses",
    "simple_contrastive": "texneg.losses",
    "truncated_triplet": "texneg.losses",
    "byol": "texneg.losses",
    "KeyQueue": "texneg.queue",
    "uniformity": "texneg.geometry",
    "tolerance": "texneg.geometry",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 (the keys are strings)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'texneg' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

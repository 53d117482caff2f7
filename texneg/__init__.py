"""Negatives with diminished semantics for contrastive vision models (Ge et al., NeurIPS 2021)."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("texneg")

# Public name -> module that holds it, imported on first use so that the command line starts without torch.
_HOMES = {
    "patch_negatives": "texneg.patch",
    "patch_permutation": "texneg.patch",
    "patch_inputs": "texneg.patch_input",
    "PatchNegatives": "texneg.patch_transform",
    "mixed_negatives": "texneg.mixture",
    "NegativeCollate": "texneg.collate",
    "Indexed": "texneg.collate",
    "exemplars": "texneg.synth.exemplars",
    "texture": "texneg.synth.texture",
    "texture_negatives": "texneg.synth.negatives",
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

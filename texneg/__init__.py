"""Negatives with diminished semantics for contrastive vision models (Ge et al., NeurIPS 2021).

The public names stand in `__init__.pyi`; each is imported on first use, so that the command line starts
without torch.
"""

from importlib.metadata import version

from lazy_loader import attach_stub

__version__ = version("texneg")
__getattr__, _, __all__ = attach_stub(__name__, __file__)
__all__ += ["__version__"]


def __dir__() -> list[str]:
    return sorted(__all__)

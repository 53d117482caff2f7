"""What type checkers and editors see of the names that `__init__.py` imports on first use."""

from texneg.collate import Indexed as Indexed
from texneg.collate import NegativeCollate as NegativeCollate
from texneg.geometry import tolerance as tolerance
from texneg.geometry import uniformity as uniformity
from texneg.losses import byol as byol
from texneg.losses import info_nce as info_nce
from texneg.losses import simple_contrastive as simple_contrastive
from texneg.losses import truncated_triplet as truncated_triplet
from texneg.mixture import mixed_negatives as mixed_negatives
from texneg.patches.network_input import patch_inputs as patch_inputs
from texneg.patches.patches import patch_negatives as patch_negatives
from texneg.patches.patches import patch_permutation as patch_permutation
from texneg.patches.transform import PatchNegatives as PatchNegatives
from texneg.queue import KeyQueue as KeyQueue
from texneg.selection import select as select
from texneg.similarity import Similarities as Similarities
from texneg.similarity import in_batch_similarities as in_batch_similarities
from texneg.similarity import similarities as similarities
from texneg.textures.exemplars import exemplars as exemplars
from texneg.textures.live.negatives import texture_negatives as texture_negatives
from texneg.textures.texture import texture as texture

__version__: str

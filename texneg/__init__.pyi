"""The public names: `__init__.py` reads this file, type checkers and editors see it."""

from .collate import Indexed as Indexed
from .collate import NegativeCollate as NegativeCollate
from .geometry import penalty_entropy as penalty_entropy
from .geometry import relative_penalty as relative_penalty
from .geometry import tolerance as tolerance
from .geometry import uniformity as uniformity
from .losses import byol as byol
from .losses import info_nce as info_nce
from .losses import simple_contrastive as simple_contrastive
from .losses import truncated_triplet as truncated_triplet
from .mixture import mixed_negatives as mixed_negatives
from .patches.network_input import patch_inputs as patch_inputs
from .patches.patches import patch_negatives as patch_negatives
from .patches.patches import patch_permutation as patch_permutation
from .patches.transform import PatchNegatives as PatchNegatives
from .queue import KeyQueue as KeyQueue
from .selection import select as select
from .selection import suggest_k as suggest_k
from .similarity import Similarities as Similarities
from .similarity import centred_nonsemantic as centred_nonsemantic
from .similarity import in_batch_similarities as in_batch_similarities
from .similarity import nonsemantic_confusion as nonsemantic_confusion
from .similarity import similarities as similarities
from .similarity import two_view_similarities as two_view_similarities
from .synthetic import extend as extend
from .tell import Separation as Separation
from .tell import measure_tell as measure_tell
from .textures.exemplars import exemplars as exemplars
from .textures.live.negatives import texture_negatives as texture_negatives
from .textures.texture import texture as texture
from .weighting import modify_features as modify_features
from .weighting import reweight as reweight

__version__: str

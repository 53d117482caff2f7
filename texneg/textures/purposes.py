"""What a random draw is for: the second field of every stream's key, so that no two uses share numbers."""

from enum import IntEnum


class Purpose(IntEnum):
    """Philox streams of one image seed. Renumbering changes every texture."""

    EXEMPLAR_PLACE = 1
    FIELD = 2
    TILE = 3
    CANDIDATE = 4

"""Errors after which nothing more can be written, and what to tell about them."""

import errno

from texneg.datasets.storage.places import Place, free_bytes
from texneg.datasets.storage.url import Url

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


def is_storage(error: OSError) -> bool:
    """Whether nothing more can be written: the disk is full, or the place forbidden."""
    return error.errno in (*FULL, *FORBIDDEN) or isinstance(error, PermissionError)  # stores give no errno


def storage_message(error: OSError, dst: Place) -> str:
    """What cannot be written or read, why, and the remedy."""
    what = f"{error.strerror or error} at {error.filename or dst}"
    if error.errno not in FULL or isinstance(dst, Url):
        return f"{what}: allow {'writing' if error.errno == errno.EROFS else 'access'} there"
    return f"{what} ({free_bytes(dst) / 1e6:.1f} MB free): make room"

"""Retries of calls to storage that fails for a moment."""

import errno
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSES_S = (1.0, 4.0, 16.0)
TRANSIENT = (
    errno.EIO,
    errno.EAGAIN,
    errno.EINTR,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EREMOTEIO,
)
THROTTLED = 429  # HTTP: too many requests


class PermanentError(OSError):
    """An error that a retry cannot mend, whatever its number."""


def is_transient(error: Exception) -> bool:
    """True if a retry may succeed: errors of a shared file system, time-outs, HTTP 5xx and 429."""
    if isinstance(error, PermanentError):
        return False
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    status = _http_status(error) or _http_status(error.__cause__)
    if status is not None:
        return status == THROTTLED or 500 <= status < 600
    return isinstance(error, OSError) and error.errno in TRANSIENT


def _http_status(error: BaseException | None) -> int | None:
    """The status in an exception of aiohttp (`status`), gcsfs (`code`) or botocore (inside `response`)."""
    status = getattr(error, "status", None) or getattr(error, "code", None)
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None


def with_retries(call: Callable[[], T]) -> T:
    """Call, and again 1, 4 and 16 s after a transient error.

    Raises:
        Exception: the last error, or the first that is not transient.
    """
    for pause in PAUSES_S:
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
        time.sleep(pause)
    return call()

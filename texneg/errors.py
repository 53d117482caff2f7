"""The two ways a command can end badly, each one line that names the remedy."""

from textwrap import shorten


class InputError(ValueError):
    """Wrong usage or input: the command ends with status 2 and this message."""


class RunFailed(RuntimeError):
    """A run that ended with failures beyond what the caller allowed: status 1 and this message."""


def describe_error(error: BaseException, width: int = 160) -> str:
    """Write the message of another library's error, or of the operating system's, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return shorten(str(error), width, placeholder=" ...") or type(error).__name__

"""The two ways a command can end badly, each one line that names the remedy."""


class InputError(ValueError):
    """Wrong usage or input: the command ends with status 2 and this message."""


class RunFailed(RuntimeError):
    """A run that ended with failures beyond what the caller allowed: status 1 and this message."""

"""One input image, wherever it lies."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One input image: a file, or a span of a tar. Names are percent-escaped (`storage.names`)."""

    split: str
    """train, val, validation or test; empty without splits."""
    key: str
    """Path below the split without its last suffix; in a tar the WebDataset key with `%2E` read as a dot."""
    label: str | None
    """Class folder, or content of the sample's `.cls`."""
    path: str
    """The file below the root: the image, or the tar that holds it."""
    member: str = ""
    """Name inside the tar; empty for a file."""
    offset: int = 0
    size: int = 0
    status: str = ""
    """Set where the scan already knows that the image cannot be used."""
    error: str = ""

    @property
    def src(self) -> str:
        """`path`, or `tar::member`."""
        return f"{self.path}::{self.member}" if self.member else self.path

"""Files that are no images for texneg: what they are, how many of a kind, and the first of each."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from texneg.datasets.sources.compressed import is_tar
from texneg.datasets.storage.names import escape

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
ARRAY_SUFFIX = ".npy"
UNREAD = (
    *(".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".jxl", ".jxr"),
    *(".svg", ".psd", ".ico", ".tga", ".exr", ".hdr", ".dds", ".pcx", ".pfm", ".pam", ".dcm"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
)
"""Suffixes of pictures that no decoder here reads."""
SYSTEM_FOLDERS = (
    *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "~snapshot"),
    *("$recycle.bin", "system volume information", "__macosx", "lost+found"),
)
"""Folders, in lower case, in which file servers and systems keep thumbnails, bins and copies."""

HIDDEN = "hidden: the name begins with a dot"
SYSTEM = "in a system folder of thumbnails or deleted files"
DEAD_LINK = "link that leads nowhere"
NO_FILE = "pipe, socket or device"
CIRCLE = "link to a folder above it"
NO_SUFFIX = "file without a suffix: an image needs that of its format, such as .jpg"
NO_IMAGE = "no image by its suffix"
TAR_BELOW = "tar one folder below: name that folder, or move its tars up"
TAR_INSIDE = "tar inside a tar: unpack the outer one"
BESIDE = "folder, image or tar beside the splits (--splits none takes all)"


@dataclass
class PassedOver:
    """Files that were passed over, by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    """Number of files, or of folders that were not looked into."""
    first: dict[str, str] = field(default_factory=dict)
    """The first of them."""

    def add(self, reason: str, name: str) -> None:
        """Count a file, named by its path below the root or as `tar::member`."""
        self.counts[reason] += 1
        self.first.setdefault(reason, escape(name, percent=False))

    def update(self, other: "PassedOver") -> None:
        """Add the files of another count, which come later."""
        self.counts.update(other.counts)
        self.first = {**other.first, **self.first}

    def clear(self) -> None:
        """Begin anew."""
        self.counts.clear()
        self.first.clear()

    def lines(self) -> list[str]:
        """`8 x no image by its suffix (first: a/notes.txt)`, a line a reason, the most frequent first."""
        order = sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))
        shown = {reason: f" (first: {name})" for reason, name in self.first.items()}
        return [f"{count} x {reason}{shown.get(reason, '')}" for reason, count in order]


def is_image(name: str, *, arrays: bool = False) -> bool:
    """True if the suffix is that of an image; the content decides when the file is decoded.

    Args:
        name: of the file.
        arrays: .npy files are images, too.
    """
    return name.lower().endswith((*SUFFIXES, ARRAY_SUFFIX) if arrays else SUFFIXES)


def is_system_folder(name: str) -> bool:
    """True if file servers or systems make folders of this name for themselves."""
    return name.lower() in SYSTEM_FOLDERS


def explain_file(name: str) -> str:
    """The reason why a file of this name is passed over."""
    suffix = PurePosixPath(name).suffix.lower()
    if is_tar(name):
        return TAR_BELOW
    if suffix in UNREAD:
        return f"{suffix} picture, which texneg does not read: convert it to JPEG or PNG"
    return NO_IMAGE if suffix else NO_SUFFIX

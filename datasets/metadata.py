"""Image files without their metadata: text, colour profiles, EXIF and other parts that no pixel depends on.

For files whose pixels are sound while a reader refuses them over the metadata.
"""

import zlib
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_METADATA = (
    *(b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"sBIT"),
    *(b"bKGD", b"hIST", b"pHYs", b"sPLT", b"eXIf", b"tIME", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"caBX"),
    *(b"acTL", b"fcTL", b"fdAT"),  # the frames of an animation after its first, which is an ordinary image
)
_EXIF_BYTES = 2**16

_JPEG_BEGIN = b"\xff\xd8"
_APP0, _APP1, _APP14, _APP15, _COMMENT, _SCAN = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE, 0xDA
_EXIF = b"Exif\0\0"
_SIZES = {_APP0: 16, _APP14: 14}
"""Least bytes of a JFIF and of an Adobe segment, which tell how colours are coded; a shorter one is none."""

_WEBP_FLAGS = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}
"""Of metadata, in the first byte of the header."""


def strip_metadata(data: bytes) -> bytes:
    """Take the metadata out of a PNG, JPEG or WebP file; return other files as they are.

    EXIF stays where it is whole, since it says which side is up. So does all that is damaged elsewhere.
    """
    if data.startswith(PNG_SIGNATURE):
        return _strip_png(data)
    if data.startswith(_JPEG_BEGIN):
        return _strip_jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _strip_webp(data)
    return data


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """List the chunks of a PNG: kind, first byte, and the byte after the last, perhaps beyond the end."""
    start = len(PNG_SIGNATURE)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4])
        yield data[start + 4 : start + 8], start, end
        start = end


def _strip_png(data: bytes) -> bytes:
    kept, last = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    for kind, start, end in png_chunks(data):
        if not kind.isalpha():
            break
        sound = zlib.crc32(data[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end])
        exif = kind == b"eXIf" and end - start <= _EXIF_BYTES and sound
        if kind not in _PNG_METADATA or exif:
            kept.append(data[start:end])
        last = end
    return b"".join([*kept, data[last:]])


def _strip_jpeg(data: bytes) -> bytes:
    """Drop comments and application segments before the first scan, but EXIF and the coding of colours."""
    kept, start = [_JPEG_BEGIN], len(_JPEG_BEGIN)
    while data[start : start + 1] == b"\xff" and start + 4 <= len(data):
        marker = data[start + 1]
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        if marker == _SCAN or end > len(data):
            break
        colours = marker in _SIZES and end - start - 2 >= _SIZES[marker]
        exif = marker == _APP1 and data.startswith(_EXIF, start + 4)
        if colours or exif or not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
            kept.append(data[start:end])
        start = end
    return b"".join([*kept, data[start:]])


def _strip_webp(data: bytes) -> bytes:
    """Drop the chunks of metadata but whole EXIF, and what is no chunk behind the last."""
    kept: list[bytes] = []
    start, size, dropped = 12, len(data), _WEBP_FLAGS[b"ICCP"] | _WEBP_FLAGS[b"XMP "]
    while start + 8 <= size:
        kind, end = data[start : start + 4], start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
        end += end % 2
        if kind not in _WEBP_FLAGS or (kind == b"EXIF" and end <= size):
            kept.append(data[start:end])
        elif kind == b"EXIF":
            dropped |= _WEBP_FLAGS[kind]
        start = end
    if kept and kept[0].startswith(b"VP8X") and len(kept[0]) > 8:
        kept[0] = kept[0][:8] + bytes([kept[0][8] & ~dropped]) + kept[0][9:]
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body

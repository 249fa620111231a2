"""The frame around everything that crosses the relay: version, checksum, length, zstd.

`TSY1 | crc32 of the body | length of the body | zstd(body)`. The length is checked before anything is decompressed
and again while it is, so that a small frame cannot unfold into a large one.
"""

from __future__ import annotations

import struct
import zlib

import zstandard

from orchestrator.errors import TillsyncError

MAGIC = b"TSY1"
BODY_BYTES_MAX = 32 * 1024 * 1024
"""A part is cut far below this; a frame that claims more is refused unread."""

_HEAD = struct.Struct(">4sII")
_LEVEL = 1


def pack(body: bytes) -> bytes:
    """Frame a body of at most BODY_BYTES_MAX bytes."""
    if len(body) > BODY_BYTES_MAX:
        raise TillsyncError(
            "TS-601", f"a part of {len(body)} bytes is over the limit of {BODY_BYTES_MAX}", hint="lower part_rows_max"
        )
    return _HEAD.pack(MAGIC, zlib.crc32(body), len(body)) + zstandard.ZstdCompressor(level=_LEVEL).compress(body)


def unpack(frame: bytes) -> bytes:
    """The body of a frame. Raises TS-602 where it is cut, altered, too large, or of another version."""
    if len(frame) < _HEAD.size:
        raise TillsyncError("TS-602", "a part is cut short", hint="it is fetched again in the next round")
    magic, crc, length = _HEAD.unpack_from(frame)
    if magic != MAGIC:
        raise TillsyncError("TS-602", "a part has an unknown format", hint="upgrade this node")
    if length > BODY_BYTES_MAX:
        raise TillsyncError(
            "TS-602", f"a part claims {length} bytes, over the limit of {BODY_BYTES_MAX}", hint="look at its sender"
        )
    try:
        # The size in zstd's own header is made room for at once, whatever max_output_size says.
        if zstandard.frame_content_size(frame[_HEAD.size :]) not in (length, -1):
            raise TillsyncError("TS-602", "a part claims two different sizes", hint="look at its sender")
        body = zstandard.ZstdDecompressor().decompress(
            frame[_HEAD.size :], max_output_size=length, allow_extra_data=False
        )
    except zstandard.ZstdError as e:
        raise TillsyncError("TS-602", f"a part does not decompress: {e}", hint="look at its sender") from e
    if len(body) != length or zlib.crc32(body) != crc:
        raise TillsyncError("TS-602", "a part fails its checksum", hint="it is fetched again in the next round")
    return body

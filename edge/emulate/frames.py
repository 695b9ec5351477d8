"""Messages between Trine and its emulator process: a JSON header, then raw bytes; no pickle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any

Header = dict[str, Any]


def send(stream: IO[bytes], header: Header, blobs: Sequence[bytes] = ()) -> None:
    """Write one message: 4 bytes of header length (little endian), the header, the blobs in order."""
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}, sort_keys=True).encode()
    stream.write(len(text).to_bytes(4, "little") + text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Header, list[bytes]] | None:
    """The next message, or None when the other side has closed. Raises EOFError inside a cut message."""
    head = stream.read(4)
    if not head:
        return None
    header: Header = json.loads(_exactly(stream, int.from_bytes(head, "little")))
    return header, [_exactly(stream, size) for size in header["blobs"]]


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError(f"message cut short: {len(data)} of {size} bytes")
    return data

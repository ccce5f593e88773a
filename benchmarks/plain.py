"""The same work as a photo job's in one plain process, written as one would by hand.

``python -m benchmarks.plain``: reads lines ``STAGED_KEY OUTPUT_KEY`` until an empty one, does
each upload, and answers the CPU seconds that took; so on until the input ends. It reads from
staging, hashes, has clamd scan, decodes at a reduced scale, resizes, encodes as ``optimize``
does, and puts the picture into the primary store. No queue, no record, no check of any kind.
"""

from __future__ import annotations

import hashlib
import io
import socket
import struct
import sys
import time

from PIL import Image
from PIL.Image import Resampling

from benchmarks.photo import BOX
from uploadmill.backends.storage import stores_from
from uploadmill.backends.storage.roles import Stores
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.settings import Settings


def upload(stores: Stores, clamd: str, staged: str, output: str) -> None:
    """Read, hash, scan, decode, resize, encode, hash, put."""
    with stores.staging.open(staged) as reader:
        raw = b"".join(iter(lambda: reader.read(CHUNK), b""))
    hashlib.sha256(raw).hexdigest()
    scan(clamd, raw)
    encoded = smaller(raw)
    stores.primary.put(
        output,
        encoded,
        content_type="image/jpeg",
        create_only=True,
        sha256=hashlib.sha256(encoded).hexdigest(),
    )


def scan(address: str, raw: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as clamd:
        clamd.connect(address)
        clamd.sendall(b"zINSTREAM\0" + struct.pack("!L", len(raw)))
        clamd.sendall(raw)
        clamd.sendall(b"\0\0\0\0")
        assert clamd.recv(100) == b"stream: OK\0"


def smaller(raw: bytes) -> bytes:
    encoded = io.BytesIO()
    with Image.open(io.BytesIO(raw)) as picture:
        icc = picture.info["icc_profile"]
        picture.draft(None, BOX)
        resized = picture.resize(BOX, Resampling.LANCZOS)
        resized.save(encoded, "JPEG", quality=85, progressive=True, optimize=True, icc_profile=icc)
    return encoded.getvalue()


def main() -> None:
    settings = Settings.load()
    stores = stores_from(settings)
    clamd = settings.scanner.address.removeprefix("unix://")
    keys: list[list[str]] = []
    for line in sys.stdin:
        if line.strip():
            keys.append(line.split())
            continue
        began = time.process_time()
        for staged, output in keys:
            upload(stores, clamd, staged, output)
        print(time.process_time() - began, flush=True)
        keys.clear()


if __name__ == "__main__":
    main()

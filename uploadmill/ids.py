"""Job ids: time-ordered and random, or derived from what makes two requests the same."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
import uuid

_NONCE = re.compile(r"[0-9a-f]{16}")


def new_job_id() -> str:
    """A UUIDv7: 48 bits of milliseconds, then random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return str(uuid.UUID(int=_stamped(value, version=7)))


def derived_job_id(*parts: str) -> str:
    """A UUIDv8 from the sha256 of *parts*: the same parts always give the same job.

    Each part is preceded by its length, so no two different lists of parts look alike.
    """
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return str(uuid.UUID(int=_stamped(int.from_bytes(digest.digest()[:16], "big"), version=8)))


def is_job_id(text: str) -> bool:
    """Whether *text* is a job id in its one canonical form; others' random UUIDs are none."""
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        return False
    return str(parsed) == text and parsed.version in (7, 8)


def new_nonce() -> str:
    """64 random bits as 16 hex digits: tells one producer attempt or one lease from another."""
    return secrets.token_hex(8)


def is_nonce(text: str) -> bool:
    """Whether *text* has the form of a nonce."""
    return _NONCE.fullmatch(text) is not None


def _stamped(value: int, version: int) -> int:
    """*value* with the version and variant bits of RFC 9562 set."""
    return value & ~(0xF << 76) & ~(0x3 << 62) | version << 76 | 0x2 << 62

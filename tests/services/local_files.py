"""What tests see of a local store: an object's bytes, and the files it keeps for itself."""

from __future__ import annotations

from pathlib import Path

from uploadmill.backends.storage.local import LocalStorage


def content(storage: LocalStorage, key: str) -> bytes:
    with storage.open(key) as reader:
        return reader.read(1 << 20)


def internal_files(root: Path) -> list[Path]:
    return [path for path in (root / ".uploadmill").rglob("*") if path.is_file()]

"""A disk that is full: a small file system where we may mount one, else a refused write."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from uploadmill.tasks import pin


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a megabyte of memory at *folder*; False where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)  # noqa: S607 - as mount


def fill(folder: Path) -> None:
    """Leave no byte free."""
    with suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def free(folder: Path) -> None:
    (folder / "ballast").unlink(missing_ok=True)


def put_in(ballast: str) -> None:
    """Refuse to pin as long as the file *ballast* exists."""
    original = pin._copy

    def copied(*args: Any, **options: Any) -> Any:
        if Path(ballast).exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*args, **options)

    pin._copy = copied

"""A node's workspaces: one folder per job, named by the claim that pinned it."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from uploadmill.backends.ledger.record import Record, WorkFile
from uploadmill.tasks.work import ORIGINAL


class Workspaces:
    """The workspaces below one root; the root is what makes a *node*."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs = root / "jobs"

    @cached_property
    def node(self) -> str:
        """The root's own random id, made when it is first used and kept in it."""
        path = self.root / "node"
        if not path.exists():
            self.jobs.mkdir(parents=True, exist_ok=True)
            fresh = self.root / f"node-{secrets.token_hex(8)}"
            fresh.write_text(secrets.token_hex(8))
            try:
                path.hardlink_to(fresh)
            except FileExistsError:
                return path.read_text()
            finally:
                fresh.unlink()
        return path.read_text()

    def folder(self, record: Record) -> Path:
        """The folder of this job's present workspace."""
        return self.jobs / record.job.id / record.workspace_id

    def make(self, record: Record) -> Path:
        """The same folder, made if it is not there."""
        folder = self.folder(record)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def holds(self, record: Record) -> bool:
        """Whether every file that the next steps will read is there, byte for byte."""
        folder = self.folder(record)
        return all(_intact(folder / file.name, file) for file in needed(record))

    def remove(self, job_id: str) -> None:
        """Delete all of a job's workspaces on this node."""
        shutil.rmtree(self.jobs / job_id, ignore_errors=True)


def needed(record: Record) -> Iterable[WorkFile]:
    """The upload and the current files, each once."""
    files = (*original(record), *record.current)
    return {file.name: file for file in files}.values()


def original(record: Record) -> tuple[WorkFile, ...]:
    """The upload as it was pinned; empty before."""
    return tuple(file for file in record.files.get("pin", ()) if file.output == ORIGINAL)


def _intact(path: Path, file: WorkFile) -> bool:
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
    except OSError:
        return False

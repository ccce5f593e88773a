"""Producers as processes of their own, which a test can let die."""

from __future__ import annotations

import subprocess
import sys

from chaos.armed import Armed
from chaos.book import Entry
from chaos.corpus import Upload
from chaos.ground import Ground
from chaos.scenarios.striking import dying


def known_before(ground: Ground, upload: Upload, key: str) -> Entry:
    """The id that a request will get, found out by staging something and leaving no trace."""
    staged = ground.uploads.stage(b"any", pipeline=upload.pipeline, idempotency_key=key)
    ground.uploads._clients.stores.staging.delete(staged.key)
    entry = Entry(staged.id, upload)
    ground.book.entries[staged.id] = entry
    return entry


def produce(ground: Ground, armed: Armed, entry: Entry, key: str) -> subprocess.Popen[bytes]:
    """Start a producer that dies where its job is armed."""
    path = ground.folder / f"produced-{entry.id}"
    path.write_bytes(entry.upload.content)
    command = [sys.executable, "-m", "chaos.dying_producer"]
    command += [str(path), entry.upload.pipeline, key]
    return subprocess.Popen(command, env=dying(ground, armed))

"""A job whose outputs are on the secondary, as a commit leaves it whose primary was out."""

from __future__ import annotations

import hashlib

from services.memory_stores import enqueued
from services.timed_ledger import NOW, certificate, note
from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.record import Record
from uploadmill.backends.ledger.settle import Settler
from uploadmill.job import OutputFile, Placement


def stranded(settler: Settler, content: bytes) -> OutputFile:
    """What a job has stored on the secondary."""
    job = enqueued(settler)
    stores, sha256 = settler.stores, hashlib.sha256(content).hexdigest()
    key = stores.output_key(job.id, f"original-{sha256[:32]}.jpg")
    made = OutputFile(key=key, content_type="image/jpeg", size=len(content), sha256=sha256)
    stores.secondary.put(
        key, content, content_type="image/jpeg", metadata={"job": job.id}, cache_control="no-cache"
    )
    record = Record(version=1, job=job, step="commit", accepted_at=NOW, certificate=certificate())
    outputs = {"original": made}
    proposal = proposals.stored(record, outputs, Placement.SECONDARY, note("commit"))
    settler.settle(proposal, [(Placement.SECONDARY, key)])
    return made


def job_of(made: OutputFile) -> str:
    return made.key.split("/")[-2]

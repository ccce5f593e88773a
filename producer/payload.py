"""What makes two requests with one idempotency key the same upload."""

from __future__ import annotations

import hashlib
import json

from uploadmill.job import StagedObject, UploadJob


def payload_hash(job: UploadJob, foreign: StagedObject | None = None) -> str:
    """The sha256 of what the caller asked for, as canonical JSON.

    Never of our own key, nonce, etag or times: those differ between two attempts at one thing.

    Args:
        job: The job as it would be accepted.
        foreign: The object that the caller had staged, of which the job has a copy.
    """
    asked = {
        "pipeline": job.pipeline,
        "owner": job.owner,
        "filename": job.filename,
        "declared_type": job.declared_type,
        "metadata": job.metadata,
        "size": job.staged.size,
        "sha256": job.staged.sha256,
        "foreign": foreign and [foreign.store, foreign.key, foreign.etag],
    }
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def same_upload(one: UploadJob, other: UploadJob) -> bool:
    """Whether two jobs were asked for with equal words and equal bytes."""
    return payload_hash(one) == payload_hash(other)

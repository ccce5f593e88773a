"""Objects that go to S3 by parts, and a point after each part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from chaos.armed import Armed
from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.backends.storage.s3_upload import MultipartUpload

#: Bytes of a part, the fewest that S3 takes; whatever is larger goes by parts here.
PART = 5 << 20

#: Bytes of an upload of two parts.
LARGE = 6 << 20

#: Points of who stages an upload, and of who commits it.
STAGED, COMMITTED = "staging.after_part", "primary.after_part"

_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def put_in(options: dict[str, Any]) -> None:
    """Send by parts what S3 would take whole, and strike after a part of an armed job's."""
    S3Storage.__init__.__kwdefaults__ |= {"part_size": PART, "stream_limit": PART}
    armed = Armed(Path(options["folder"]), options["stop_for"])
    original = MultipartUpload.add

    def add(upload: MultipartUpload, *args: Any) -> bool:
        told = original(upload, *args)
        job = _JOB_ID.search(upload._address["Key"])
        if job is not None:
            # Buckets are called after the role of their store.
            armed.strike(job.group(), f"{upload._address['Bucket']}.after_part")
        return told

    MultipartUpload.add = add  # type: ignore[method-assign]

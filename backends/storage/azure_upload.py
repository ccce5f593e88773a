"""Uploads and copies by blocks: staged one after another, made visible at once on condition."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from azure.storage.blob import BlobBlock, BlobClient

from uploadmill.backends.storage.azure_answers import quoted
from uploadmill.backends.storage.objects import ObjectStat

#: What Azure allows.
MAX_BLOCKS = 50_000


class BlockUpload:
    """Blocks that are on the server and whose blob is not visible yet.

    Nothing has to be tidied up when it fails: Azure forgets after a week, or as soon as the
    blob is written otherwise, what was staged and not committed. Errors are the SDK's: the store
    that uses this translates them.

    Args:
        blob: What they will be; asked for anew for each request.
        patient: What to pass to calls that take their time.
    """

    def __init__(self, blob: Callable[[], BlobClient], patient: Mapping[str, Any]) -> None:
        self._blob = blob
        self._patient = patient
        # Two uploads of the same key must not use each other's blocks.
        self._prefix = secrets.token_hex(8)
        self._blocks: list[BlobBlock] = []

    def add(self, content: bytes) -> None:
        """Send the next block; the server verifies its MD5."""
        self._blob().stage_block(self._next(), content, validate_content=True)

    def add_copy(self, address: str, source: ObjectStat, start: int, size: int) -> None:
        """Let the server copy the next block from *source*, which must still have its etag."""
        self._blob().stage_block_from_url(
            self._next(),
            address,
            start,
            size,
            headers={"x-ms-source-if-match": quoted(source.etag)},
            **self._patient,
        )

    def commit(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make the blob of these blocks, with the headers and on the condition in *options*."""
        return self._blob().commit_block_list(self._blocks, **options, **self._patient)

    def _next(self) -> str:
        """The next block's id; Azure wants all of a blob's to be of one length."""
        block = BlobBlock(f"{self._prefix}-{len(self._blocks):05}")
        self._blocks.append(block)
        return str(block.id)

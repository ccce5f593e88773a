"""Put objects into a container: a small one in one request, a large one by blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from uploadmill.backends.storage.arguments import Write
from uploadmill.backends.storage.azure_answers import headers
from uploadmill.backends.storage.azure_errors import translated
from uploadmill.backends.storage.azure_objects import AzureObjects
from uploadmill.backends.storage.azure_upload import MAX_BLOCKS, BlockUpload
from uploadmill.backends.storage.hashing import read_up_to
from uploadmill.backends.storage.objects import ObjectStat
from uploadmill.errors import ObjectExists


@dataclass(frozen=True, slots=True)
class AzureWriter:
    """Puts objects; their headers go with the last request, so each is read only once.

    Attributes:
        objects: Of the store.
        block_size: Bytes of a block, and more than the largest object that is sent in one request.
    """

    objects: AzureObjects
    block_size: int

    def write(self, write: Write) -> ObjectStat:
        """Put an object; it becomes visible whole or not at all."""
        content = read_up_to(write.reader, self.block_size)
        if len(content) < self.block_size:
            write.reader.verify(self.objects.store, write.key, write.sha256)
            return self._small(write, bytes(content))
        if write.create_only and self.objects.exists(write.key):
            raise ObjectExists(self.objects.store, write.key)
        return self._large(write, content)

    def _small(self, write: Write, content: bytes) -> ObjectStat:
        """Send an object in one request; the server verifies its MD5."""
        facts = replace(write.facts, sha256=write.reader.sha256)
        with self.objects.deciding(write.key, create_only=write.create_only) as condition:
            made = self.objects.blob(write.key).upload_blob(
                content, **headers(facts), **condition, overwrite=True, validate_content=True
            )
            return self.objects.created(write.key, facts, len(content), made)

    def _large(self, write: Write, first: bytearray) -> ObjectStat:
        """Send an object block by block; its whole sha256 is verified before it is visible."""
        reader, objects = write.reader, self.objects
        largest = MAX_BLOCKS * self.block_size
        reader.max_size = min(reader.max_size or largest, largest)
        upload = BlockUpload(lambda: objects.blob(write.key), objects.container.patient)
        block = first
        while block:
            with translated(objects.store, write.key):
                upload.add(bytes(block))
            # Now, and not when the next block is complete: one in memory, not two.
            block.clear()
            block = read_up_to(reader, self.block_size)
        reader.verify(objects.store, write.key, write.sha256)
        facts = replace(write.facts, sha256=reader.sha256)
        with objects.deciding(write.key, create_only=write.create_only) as condition:
            made = upload.commit({**headers(facts), **condition})
            return objects.created(write.key, facts, reader.size, made)

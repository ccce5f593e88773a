"""The stores as they lie there, seen behind the product's back: a folder, or a bucket."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from uploadmill.backends.storage.keys import RESERVED
from uploadmill.worker.embedded.eicar import eicar

ROLES = ("staging", "primary", "secondary", "quarantine")
OUTPUT_STORES = ("primary", "secondary")

#: Bytes read at once.
CHUNK = 1 << 20

#: Whatever changes when an object does.
State = tuple[Any, ...]


class Shelf(Protocol):
    """One store.

    Attributes:
        there: Whether it can be looked at; a scenario may have taken it away.
    """

    @property
    def there(self) -> bool: ...

    def states(self, below: str = "") -> dict[str, State]:
        """Every object by its key, below a folder or with just this key."""

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of an object.

        Raises:
            OSError: It has gone.
        """

    def parts(self) -> list[str]:
        """The keys of uploads that were begun and neither completed nor aborted."""


@dataclass(frozen=True)
class Folder:
    """A local store."""

    root: Path

    @property
    def there(self) -> bool:
        return self.root.is_dir()

    def states(self, below: str = "") -> dict[str, State]:
        found: dict[str, State] = {}
        for path in _files(self.root / below) if self.there else ():
            with suppress(OSError):  # it has gone since
                facts = path.stat()
                key = str(path.relative_to(self.root))
                found[key] = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        return found

    def chunks(self, key: str) -> Iterator[bytes]:
        with (self.root / key).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def parts(self) -> list[str]:
        return []


def _files(at: Path) -> Iterator[Path]:
    """Every object; what a local store keeps for itself is left out."""
    if at.is_file():
        yield at
    for folder, folders, names in os.walk(at):
        if RESERVED in folders:
            folders.remove(RESERVED)
        yield from (Path(folder) / name for name in names)


@dataclass(frozen=True)
class Bucket:
    """A store on a real S3 server; *prefix* ends in a slash."""

    endpoint: str
    access_key: str
    secret_key: str
    name: str
    prefix: str

    @cached_property
    def _client(self) -> Any:
        import boto3  # noqa: PLC0415 (only who has a bucket pays for it)

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    @property
    def there(self) -> bool:
        return True

    def states(self, below: str = "") -> dict[str, State]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=self.prefix + below
        )
        return {
            item["Key"].removeprefix(self.prefix): (item["ETag"], item["LastModified"])
            for page in pages
            for item in page.get("Contents", ())
        }

    def chunks(self, key: str) -> Iterator[bytes]:
        from botocore.exceptions import ClientError  # noqa: PLC0415 (as boto3)

        try:
            body = self._client.get_object(Bucket=self.name, Key=self.prefix + key)["Body"]
        except ClientError as error:
            raise FileNotFoundError(key) from error
        with body:
            yield from body.iter_chunks(CHUNK)

    def parts(self) -> list[str]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name)
        return [item["Key"] for page in pages for item in page.get("Uploads", ())]

    def close(self) -> None:
        self._client.close()


def folders_of(folder: Path) -> dict[str, Shelf]:
    """The local stores below *folder*, by role."""
    return {role: Folder(folder / role) for role in ROLES}


@dataclass(frozen=True)
class Content:
    """What an object has; *infected* by the test virus anywhere in it."""

    sha256: str
    size: int
    infected: bool


def content_of(shelf: Shelf, key: str) -> Content:
    """Read an object once.

    Raises:
        OSError: It has gone.
    """
    digest, size, infected, virus, tail = hashlib.sha256(), 0, False, eicar(), b""
    for chunk in shelf.chunks(key):
        digest.update(chunk)
        size += len(chunk)
        infected = infected or virus in tail + chunk
        tail = (tail + chunk)[-len(virus) :]
    return Content(digest.hexdigest(), size, infected)


def read(shelf: Shelf, key: str) -> bytes:
    """A small object whole.

    Raises:
        OSError: It has gone.
    """
    return b"".join(shelf.chunks(key))

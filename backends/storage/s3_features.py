"""What lets others at the objects of a bucket: signed addresses, forms, access lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from uploadmill.backends.storage.features import Access, PresignedUpload
from uploadmill.backends.storage.s3_answers import sent_type
from uploadmill.backends.storage.s3_errors import (
    ACCESS_REFUSED,
    code_of,
    is_forbidden,
    translated,
)
from uploadmill.backends.storage.s3_objects import S3Objects
from uploadmill.errors import Unsupported

#: Seconds that a signature of S3 lasts at most: a week.
LONGEST = 7 * 24 * 3600

#: What S3 replaces, in the key of a form, by the file's name as the client tells it.
_FILENAME = "${filename}"

#: Everybody, in an access list.
_ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"

#: Permissions that include reading.
_READING = ("READ", "FULL_CONTROL")


def signed_url(objects: S3Objects, key: str, expires: float, disposition: str | None) -> str:
    """An address that reads *key* for *expires* seconds; nothing is asked of the server."""
    asked = objects.address(key)
    if disposition is not None:
        asked["ResponseContentDisposition"] = disposition
    with translated(objects.store, key):
        address: str = objects.bucket.client.generate_presigned_url(
            "get_object", Params=asked, ExpiresIn=_seconds(objects.store, key, expires)
        )
    return address


def presigned_upload(
    objects: S3Objects, key: str, content_type: str, sizes: range, expires: float
) -> PresignedUpload:
    """A form whose policy allows this key, this type and these sizes only."""
    if _FILENAME in key:
        raise Unsupported(objects.store, key, f"in a form S3 would replace {_FILENAME}")
    sent = sent_type(content_type)
    with translated(objects.store, key):
        form = objects.bucket.client.generate_presigned_post(
            **objects.address(key),
            Fields={"Content-Type": sent},
            Conditions=[
                ["content-length-range", sizes.start, sizes.stop - 1],
                {"Content-Type": sent},
            ],
            ExpiresIn=_seconds(objects.store, key, expires),
        )
    return PresignedUpload(form["url"], form["fields"])


def access_of(objects: S3Objects, key: str) -> Access:
    """Who may read an object, by its access list."""
    with _of_access(objects, key):
        answer = objects.bucket.client.get_object_acl(**objects.address(key))
    public = any(
        grant.get("Grantee", {}).get("URI") == _ALL_USERS and grant.get("Permission") in _READING
        for grant in answer.get("Grants", ())
    )
    return Access.PUBLIC_READ if public else Access.PRIVATE


def set_access(objects: S3Objects, key: str, access: Access) -> None:
    """Replace an object's access list."""
    with _of_access(objects, key):
        objects.bucket.client.put_object_acl(**objects.address(key), ACL=access.value)


@contextmanager
def _of_access(objects: S3Objects, key: str) -> Iterator[None]:
    """Around requests for access lists, which need permissions of their own.

    Raises:
        Unsupported: We are let at the object, and not at its list.
    """
    with of_feature(objects.store, key):
        try:
            yield
        except ClientError as error:
            if not is_forbidden(error):
                raise
            # Whoever is refused everything is refused this too, and it raises.
            objects.head(key)
            raise Unsupported(objects.store, key, ACCESS_REFUSED) from error


@contextmanager
def of_feature(store: str, key: str) -> Iterator[None]:
    """Around requests that not every server knows.

    Raises:
        Unsupported: The server says that it does not know this one.
    """
    with translated(store, key):
        try:
            yield
        except ClientError as error:
            if code_of(error) == "NotImplemented":
                raise Unsupported(store, key, "its server does not know this request") from error
            raise


def _seconds(store: str, key: str, expires: float) -> int:
    """For how long to sign, in whole seconds."""
    if expires > LONGEST:
        raise Unsupported(store, key, f"S3 signs for {LONGEST} seconds at most")
    return max(1, int(expires))

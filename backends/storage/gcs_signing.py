"""Addresses and forms that are signed with a service account's key; nobody is asked for them."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import Any

from google.auth.credentials import Signing

from uploadmill.backends.storage.features import PresignedUpload
from uploadmill.backends.storage.gcs_errors import translated
from uploadmill.backends.storage.gcs_objects import GoogleObjects
from uploadmill.errors import Unsupported

#: Seconds for which Google lets anything be signed.
MAX_EXPIRES = 7 * 86_400

NO_SIGNER = "only a service account's key signs; set credentials_path"


def signed_url(objects: GoogleObjects, key: str, expires: float, disposition: str | None) -> str:
    """An address that lasts *expires* seconds and is served with *disposition*."""
    signer, lifetime = _signer(objects, key), _lifetime(objects, key, expires)
    with translated(objects.store, key):
        url: str = objects.blob(key).generate_signed_url(
            version="v4",
            expiration=lifetime,
            api_access_endpoint=objects.bucket.access.endpoint,
            response_disposition=disposition,
            credentials=signer,
        )
    return url


def signed_form(
    objects: GoogleObjects, key: str, content_type: str, sizes: range, expires: float
) -> PresignedUpload:
    """A form that puts this key, with this type and one of these sizes."""
    signer, lifetime = _signer(objects, key), _lifetime(objects, key, expires)
    with translated(objects.store, key):
        policy = objects.bucket.connection.client.generate_signed_post_policy_v4(
            objects.bucket.name,
            objects.prefix + key,
            expiration=lifetime,
            conditions=[["content-length-range", sizes.start, sizes.stop - 1]],
            fields={"Content-Type": content_type},
            credentials=signer,
        )
    return PresignedUpload(
        f"{objects.bucket.access.endpoint}/{objects.bucket.name}", policy["fields"]
    )


def _signer(objects: GoogleObjects, key: str) -> Any:
    """What signs in the account's name."""
    with translated(objects.store, key):
        credentials = objects.bucket.connection.credentials
    if not isinstance(credentials, Signing):
        raise Unsupported(objects.store, key, NO_SIGNER)
    return credentials


def _lifetime(objects: GoogleObjects, key: str, expires: float) -> timedelta:
    if expires > MAX_EXPIRES:
        raise Unsupported(objects.store, key, "Google signs for seven days at most")
    return timedelta(seconds=ceil(expires))

"""The contract of what not every store has, and of what a configuration may forbid.

A store that has it does all of it; one that has not says so before anything moves.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import Message
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlsplit

from uploadmill.backends.storage.content_types import DEFAULT_TYPE
from uploadmill.backends.storage.contract_ground import (
    SMALL,
    Ground,
    NotOffered,
    absent,
    content,
    raises,
    same,
    true,
)
from uploadmill.backends.storage.features import Access, Feature, PresignedUpload
from uploadmill.errors import ObjectNotFound, Unsupported

#: Seconds a server may take for one request of these checks.
_TIMEOUT = 30.0

#: Seconds after which what was signed for one is over, for servers that count whole ones too.
_EXPIRED = 2.1

_BOUNDARY = "uploadmill-check"

#: How servers answer to a signature that is not theirs.
_REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

T = TypeVar("T")


def versions_are_kept_and_come_back(ground: Ground) -> None:
    """Every state of an object is listed, read by its id, and made the newest again."""
    storage, key = ground.storage, ground.key("kept")
    first = storage.put(key, SMALL, content_type="a/b", metadata={"state": "first"})
    offered(lambda: list(storage.versions(key)))
    second = storage.put(key, b"second")
    true(first.version and second.version, "put says which version it made")
    kept = list(storage.versions(key))
    same([second.version, first.version], [each.version for each in kept], "versions, newest first")
    same([len(b"second"), len(SMALL)], [each.size for each in kept], "their sizes")
    same(SMALL, _version(ground, key, first.version), "the bytes of the older one")

    restored = storage.restore(key, str(first.version))
    same(SMALL, content(storage, key), "the bytes after restoring the older one")
    stat = storage.stat(key)
    same(("a/b", "first"), (stat.content_type, stat.metadata.get("state")), "its facts")
    same(stat.version, restored.version, "the version that restore says it made")
    same(b"second", _version(ground, key, second.version), "the bytes that were the newest")


def versions_outlive_a_delete(ground: Ground) -> None:
    """A deleted object is gone, and can be brought back."""
    storage, key = ground.storage, ground.key("kept-deleted")
    first = storage.put(key, SMALL)
    offered(lambda: list(storage.versions(key)))
    storage.delete(key)
    absent(storage, key, "after delete")
    same([first.version], [each.version for each in storage.versions(key)], "versions left")
    storage.restore(key, str(first.version))
    same(SMALL, content(storage, key), "the bytes after bringing it back")


def versions_of_nothing(ground: Ground) -> None:
    """A key that never was has none, and a version that never was is not found."""
    storage, key = ground.storage, ground.key("never")
    same([], offered(lambda: list(storage.versions(key))), "versions of a key that never was")
    made = storage.put(ground.key("once"), SMALL)
    storage.put(ground.key("once-more"), SMALL)
    wrong = str(made.version)
    raises(ObjectNotFound, lambda: storage.restore(key, wrong), "restore of another key's version")
    raises(ObjectNotFound, lambda: _version(ground, key, wrong), "open of another key's version")
    same([made.version], [each.version for each in storage.versions(ground.key("once"))], "own")


def a_store_without_versions_says_so(ground: Ground) -> None:
    """By every method that would need them."""
    storage, key = ground.storage, ground.key("unversioned")
    stat = storage.put(key, SMALL)
    if stat.version is not None:
        return
    raises(Unsupported, lambda: list(storage.versions(key)), "versions")
    raises(Unsupported, lambda: storage.restore(key, "1"), "restore")


def a_signed_url_reads_the_object(ground: Ground) -> None:
    """Without credentials, until it expires, under the name given, and no other object."""
    storage, key = ground.storage, ground.key("signed ü?.txt")
    storage.put(key, SMALL, content_type="text/x-odd")
    url = offered(lambda: storage.url(key, expires=60, filename='bü"ß.txt'))
    status, answered, body = fetch(url)
    same((HTTPStatus.OK, SMALL), (status, body), "what the signed address gives")
    same("text/x-odd", answered["Content-Type"], "its content type")
    disposition = answered["Content-Disposition"] or ""
    true("attachment" in disposition, "the browser is told to save it")
    true("b%C3%BC%22%C3%9F.txt" in disposition, "the browser is told the name")
    same(SMALL, fetch(storage.url(key, expires=60))[2], "what one without a name gives")
    other = url.replace("signed", "sagned", 1)
    storage.put(ground.key("sagned ü?.txt"), b"secret")
    true(fetch(other)[0] in _REFUSALS, "the signature is for one object only")


def a_signed_url_expires(ground: Ground) -> None:
    """After its seconds it is worth nothing."""
    key = ground.key("expires.txt")
    ground.storage.put(key, SMALL)
    url = offered(lambda: ground.storage.url(key, expires=1))
    time.sleep(_EXPIRED)
    true(fetch(url)[0] in _REFUSALS, "an expired address is refused")


def a_presigned_upload_makes_the_object(ground: Ground) -> None:
    """Of this key, this type and a size within the limits; and no other."""
    storage, key = ground.storage, ground.key("presigned.txt")
    form = offered(lambda: _form(ground, key))
    true(taken(form, b"x" * 500), "a good upload is taken")
    same(b"x" * 500, content(storage, key), "the bytes")
    same("text/plain", storage.stat(key).content_type, "the content type")


def a_presigned_upload_refuses_what_was_not_agreed(ground: Ground) -> None:
    """Too much, too little, another type, another key: nothing is made."""
    storage, key, other = ground.storage, ground.key("agreed.txt"), ground.key("other.txt")
    form = offered(lambda: _form(ground, key))
    true(not taken(form, b"x" * 1001), "one byte too many is refused")
    true(not taken(form, b"x" * 9), "one byte too few is refused")
    wrong_type = {"Content-Type": "text/html"}
    true(not taken(form, b"x" * 500, wrong_type), "another type is refused")
    wrong_key = {"key": form.fields["key"].replace("agreed", "other")}
    true(not taken(form, b"x" * 500, wrong_key), "another key is refused")
    absent(storage, key, "after refused uploads")
    absent(storage, other, "after refused uploads")


def access_levels_are_kept(ground: Ground) -> None:
    """As put, as changed; a new object has the bucket's own."""
    storage, key = ground.storage, ground.key("levels")
    offered(lambda: storage.put(key, SMALL, access=Access.PUBLIC_READ))
    same(Access.PUBLIC_READ, storage.access(key), "access as put")
    storage.set_access(key, Access.PRIVATE)
    same(Access.PRIVATE, storage.access(key), "access as changed")
    same(SMALL, content(storage, key), "the bytes after a change of access")
    for source in ground.sources():
        each = ground.key(f"levels-{source.size}")
        storage.put(each, source, access=Access.PUBLIC_READ)
        same(Access.PUBLIC_READ, storage.access(each), f"access of {source.size} bytes")
        storage.put(each, source, access=Access.PRIVATE)
        same(Access.PRIVATE, storage.access(each), f"access of {source.size} bytes, overwritten")
    missing = ground.key("levels-missing")
    raises(ObjectNotFound, lambda: storage.access(missing), "access of nothing")
    raises(ObjectNotFound, lambda: storage.set_access(missing, Access.PRIVATE), "change of nothing")


def what_is_lacking_moves_no_bytes(ground: Ground) -> None:
    """A put that cannot be done as asked makes nothing; known before, it opens no source."""
    storage, key = ground.storage, ground.key("not-moved")
    source = ground.sources()[0]
    try:
        storage.put(key, source, access=Access.PRIVATE)
    except Unsupported:
        absent(storage, key, "after a put that is not supported")
    if Feature.ACCESS_LEVELS in storage.lacks:
        same(0, source.opened, "openings of a source, where the store knows what it lacks")


def offered(ask: Callable[[], T]) -> T:
    """What the store answers; ends the check where it has not got this."""
    try:
        return ask()
    except Unsupported as error:
        raise NotOffered(error.detail) from error


def fetch(url: str) -> tuple[int, Message, bytes]:
    """What anybody gets under an address."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise NotOffered("addresses that no browser opens")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 (checked)
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, b""


def taken(form: PresignedUpload, body: bytes, changed: Mapping[str, str] | None = None) -> bool:
    """Whether the store takes a form that a browser sends."""
    fields = {**form.fields, **(changed or {})}
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    request = urllib.request.Request(form.url, _encoded(fields, body), headers, method="POST")  # noqa: S310 (a store's)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310 (a store's)
            return True
    except urllib.error.HTTPError as error:
        with error:
            return False
    except (urllib.error.URLError, ConnectionError):
        # A server that has seen enough may close before everything was sent.
        return False


def _encoded(fields: Mapping[str, str], body: bytes) -> bytes:
    """A form with one file, as browsers send it."""
    begin = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name="
    texts = [f'{begin}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    kind = fields.get("Content-Type", DEFAULT_TYPE)
    file = f'{begin}"file"; filename="a"\r\nContent-Type: {kind}\r\n\r\n'
    return "".join([*texts, file]).encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _form(ground: Ground, key: str) -> PresignedUpload:
    return ground.storage.presign_upload(
        key, content_type="text/plain", min_size=10, max_size=1000, expires=60
    )


def _version(ground: Ground, key: str, version: str | None) -> bytes:
    with ground.storage.open(key, version=version) as reader:
        return reader.read(1000)


CHECKS = (
    versions_are_kept_and_come_back,
    versions_outlive_a_delete,
    versions_of_nothing,
    a_store_without_versions_says_so,
    a_signed_url_reads_the_object,
    a_presigned_upload_makes_the_object,
    a_presigned_upload_refuses_what_was_not_agreed,
    access_levels_are_kept,
    what_is_lacking_moves_no_bytes,
    a_signed_url_expires,
)

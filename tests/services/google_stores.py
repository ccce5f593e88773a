"""What the tests of Google Cloud Storage share: names, calls, and what an outage looks like."""

import contextlib

from services import remote_stores
from services.canned import Reply, canned
from services.remote_stores import all_unavailable
from uploadmill.backends.storage.sources import CHUNK

BUCKET = "uploadmill-tests"
VERSIONED = "uploadmill-versions"
CHUNK_SIZE = 1 << 20

#: What fake-gcs-server 1.54 does otherwise than Google documents it, by the check that sees it.
SERVER_FAULTS = {
    # It looks at a condition when a resumable upload begins, not when it ends.
    "put_create_only_has_one_winner_when_large",
    # It looks at no condition of a rewrite.
    "copy_create_only_has_one_winner",
    # Its pages count the objects alone and have all folders at once, so some are passed over;
    # Google documents that it counts both.
    "list_gives_each_folder_once_beside_keys",
    # It looks at no condition of a delete; test_gcs_delete.py does.
    "delete_minds_if_match",
    # A patch that takes the last entry from an access list changes nothing. Google's lists keep
    # the owner; test_gcs.py's test_access_is_taken_from_everybody_and_nobody_else has such a list.
    "access_levels_are_kept",
    # It serves signed addresses without their file name, and looks at no signature.
    "a_signed_url_reads_the_object",
    "a_signed_url_expires",
    # It looks at no policy of a form.
    "a_presigned_upload_refuses_what_was_not_agreed",
}

SECRETS = ("127.0.0.1", "upload_id", "://", "a-token")

TOKEN = Reply(200, b'{"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"}')

#: What Google answers to an upload that it took, and how it describes an object.
MADE = Reply(200, b'{"generation": "7", "timeCreated": "2026-11-23T00:00:00Z"}')
DESCRIBED = {
    "name": "made/a",
    "size": "5",
    "generation": "3",
    "timeCreated": "2026-11-23T00:00:00Z",
    "contentType": "a/b",
    "cacheControl": "no-store",
    "metadata": {"x": "y"},
}


def every_call(storage):
    """Each method once, as something to be called."""
    return remote_stores.every_call(storage, large=CHUNK_SIZE + 1) | {
        "versions": lambda: list(storage.versions("a")),
        "access": lambda: storage.access("a"),
    }


def assert_unavailable(storage, **how):
    all_unavailable(every_call(storage), SECRETS, **how)


def read_all(storage, key):
    with storage.open(key) as reader:
        return b"".join(iter(lambda: reader.read(CHUNK), b""))


def storage_part(storage, key, start, length):
    with storage.open(key, start=start, length=length) as reader:
        return reader.read(length)


@contextlib.contextmanager
def signed_in(store, key_file, **options):
    """A store of a service account, and the server that gives it tokens."""
    with canned(lambda *_: TOKEN) as tokens:
        yield store(credentials_path=key_file(tokens.endpoint), **options), tokens

"""What boto3 is given to send: small pieces, and never the end of a wrong object."""

import hashlib
import io

import pytest

from uploadmill.backends.storage.body import PIECE
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.s3_body import HeldBody, StreamedBody
from uploadmill.errors import IntegrityError

CONTENT = bytes(range(256)) * 4096


def pieces(body):
    return [bytes(piece) for piece in iter(lambda: body.read(16384), b"")]


def streamed(content):
    """A body of *content* where CONTENT was announced."""
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return StreamedBody("store", "key", HashingReader(io.BytesIO(content)), len(CONTENT), sha256)


@pytest.mark.parametrize("body", [HeldBody(bytearray(CONTENT)), streamed(CONTENT)])
def test_a_body_is_given_whole_in_pieces_that_a_slow_network_takes_in_time(body):
    found = pieces(body)

    assert CONTENT == b"".join(found)
    assert PIECE == max(map(len, found))
    assert b"" == bytes(body.read(1))


@pytest.mark.parametrize("content", [CONTENT + b"x", CONTENT[:-1], b"", CONTENT[:-1] + b"?"])
def test_the_last_piece_of_a_wrong_object_is_never_given(content):
    body, given = streamed(content), []

    with pytest.raises(IntegrityError) as caught:
        given.extend(iter(lambda: body.read(16384), b""))

    assert caught.value is body.failure
    assert sum(map(len, given)) < len(CONTENT)

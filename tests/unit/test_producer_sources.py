"""What a web app may hand over as an upload."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from uploadmill.backends.storage.sources import opener
from uploadmill.errors import SizeLimitExceeded
from uploadmill.producer.sources import fitting, name_of, readable, type_of


class Stream(io.RawIOBase):
    """Bytes that come once, such as a request's body; refuses to be read whole."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "somebody reads the whole of it"
        return self._file.read(size)


class AsyncUpload:
    """Like Starlette's UploadFile: reads asynchronously, has a file inside."""

    def __init__(self, file) -> None:
        self.file = file
        self.filename = "C:\\pictures\\holiday.jpg"
        self.content_type = "image/jpeg"

    async def read(self, size: int = -1) -> bytes:
        return self.file.read(size)


class Body:
    """Like the body of a request in gunicorn: no more than a read method."""

    def __init__(self, content: bytes) -> None:
        self.read = io.BytesIO(content).read


def read_twice(upload, max_size: int = 1_000_000) -> tuple[bytes, bytes]:
    with readable(upload, max_size) as source:
        again = opener(source)
        with again() as first:
            content = first.read(1_000_000)
        with again() as second:
            return content, second.read(1_000_000)


def test_paths_bytes_files_and_streams_can_be_read_twice(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")

    with path.open("rb") as file:
        for upload in (path, str(path), b"content", file, Stream(b"content"), Body(b"content")):
            assert read_twice(upload) == (b"content", b"content")
        assert not file.closed


def test_a_file_is_read_from_its_position():
    file = io.BytesIO(b"header|content")
    file.seek(7)

    assert read_twice(file) == (b"content", b"content")


def test_an_asynchronous_upload_is_taken_by_its_file():
    assert read_twice(AsyncUpload(io.BytesIO(b"content"))) == (b"content", b"content")


def test_an_endless_stream_ends_at_the_limit():
    with pytest.raises(SizeLimitExceeded):
        read_twice(Stream(b"x" * 5_000_000), max_size=1_000)


@pytest.mark.parametrize("upload", [io.StringIO("text"), object(), 7, SimpleNamespace(read=1)])
def test_what_is_no_binary_file_is_refused_by_type(upload):
    with pytest.raises(TypeError, match="opened for binary reading"):
        read_twice(upload)


@pytest.mark.parametrize(
    ("upload", "expected"),
    [
        (Path("/tmp/folder/holiday.jpg"), "holiday.jpg"),
        ("folder/holiday.jpg", "holiday.jpg"),
        (SimpleNamespace(name="/tmp/folder/holiday.jpg"), "holiday.jpg"),
        (SimpleNamespace(name="holiday.jpg"), "holiday.jpg"),
        (AsyncUpload(None), "holiday.jpg"),
        (SimpleNamespace(name=7), None),
        (SimpleNamespace(name="folder/"), None),
        (io.BytesIO(), None),
        (b"content", None),
        (None, None),
    ],
)
def test_the_name_is_what_the_upload_brings_along(upload, expected):
    assert name_of(upload) == expected


def test_the_declared_type_comes_from_the_frameworks_object():
    assert type_of(AsyncUpload(None)) == "image/jpeg"
    assert type_of(b"content") is None


def test_a_clients_name_never_breaks_a_job():
    assert fitting("x" * 2000, 1024) == "x" * 1024
    assert fitting("bad\udcffname", 1024) == "bad?name"
    assert fitting(None, 1024) is None

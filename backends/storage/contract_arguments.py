"""The contract about wrong arguments: each is refused with its remedy, before anything happens."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from uploadmill.backends.storage.contract_ground import (
    SMALL,
    Ground,
    MadeUp,
    absent,
    content,
    intact,
    raises,
    same,
    true,
)
from uploadmill.errors import SizeLimitExceeded


class _Pipe(io.BytesIO):
    """Bytes that come once."""

    def seekable(self) -> bool:
        return False


class _Asynchronous(io.BytesIO):
    """Bytes that are waited for."""

    async def read(self, size: int | None = -1, /) -> bytes:  # type: ignore[override]
        return super().read(size)


#: What gives no bytes, or not twice.
NO_SOURCES: dict[str, Callable[[], object]] = {
    "a path as text": lambda: "/etc/hostname",
    "None": lambda: None,
    "a list": lambda: [b"x"],
    "a generator": lambda: (each for each in (b"x",)),
    "a text file": lambda: io.StringIO("x"),
    "a pipe": lambda: _Pipe(b"x"),
    "a file of asyncio": lambda: _Asynchronous(b"x"),
    "a class": lambda: Path,
    "an opener of bytes": lambda: lambda: b"x",
    "an opener of a text file": lambda: lambda: io.StringIO("x"),
}


def wrong_sources_are_refused(ground: Ground) -> None:
    """Whatever gives no bytes, or could not be read again."""
    key = ground.key("wrong-source")
    for what, make in NO_SOURCES.items():
        source: Any = make()
        raises(TypeError, lambda source=source: ground.storage.put(key, source), what)  # type: ignore[misc]
    absent(ground.storage, key, "after wrong sources")


def put_takes_bytes_of_any_kind(ground: Ground) -> None:
    """Also those that can change, and every second one of others."""
    sources: dict[str, Any] = {"array": bytearray(SMALL), "view": memoryview(SMALL)[::-1]}
    for name, source in sources.items():
        stat = ground.storage.put(ground.key(f"bytes-{name}"), source)
        same(bytes(source), content(ground.storage, stat.key), f"the bytes of a {name}")


def keys_of_another_type_are_refused(ground: Ground) -> None:
    """A path, a number and nothing are no keys, nor are several in one."""
    storage, good = ground.storage, ground.key("good-key")
    storage.put(good, SMALL)
    wrong: Any
    for wrong in (None, 5, Path("a", "b"), b"a"):
        calls: dict[str, Callable[[Any], object]] = {
            "put": lambda key: storage.put(key, SMALL),
            "stat": storage.stat,
            "exists": storage.exists,
            "read": lambda key: storage.read(key, 100),
            "delete": storage.delete,
            "copy from": lambda key: storage.copy(key, good),
            "copy to": lambda key: storage.copy(good, key),
            "move to": lambda key: storage.move(good, key),
            "list": lambda key: list(storage.list(key)),
            "url": storage.url,
        }
        for name, call in calls.items():
            raises(TypeError, lambda call=call, wrong=wrong: call(wrong), f"{name} of {wrong!r}")  # type: ignore[misc]
    several: Any = [good]
    raises(TypeError, lambda: storage.delete(several), "delete of a list")
    # Of a text each letter would be a key; of this one they are none, whatever a store does.
    raises(TypeError, lambda: storage.delete_many(".."), "delete_many of a text")
    same(SMALL, content(storage, good), "the bytes of a good key after all that")


def wrong_values_are_refused(ground: Ground) -> None:
    """What is of another type, out of range, or nothing that there is."""
    storage, key, source = ground.storage, ground.key("wrong-values"), MadeUp(100)
    before = storage.put(key, source)
    for what, (error, call) in _wrong_calls(ground, key).items():
        raises(error, call, what)
    intact(storage, key, before, source, "after wrong values")


def a_download_goes_to_a_path_as_text_too(ground: Ground) -> None:
    """There is no other thing that it could be."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "target")
        ground.storage.put(ground.key("to-text"), SMALL)
        ground.storage.download(ground.key("to-text"), str(target))
        same(SMALL, target.read_bytes(), "the bytes in the file")


def read_names_what_is_too_large(ground: Ground) -> None:
    """Which store, and which key: the caller may have asked for many."""
    key = ground.key("too-large")
    ground.storage.put(key, SMALL)
    try:
        ground.storage.read(key, 0)
    except SizeLimitExceeded as error:
        true(ground.storage.name in str(error), f"the store's name in {str(error)!r}")
        true("too-large" in str(error), f"the key in {str(error)!r}")
    else:
        true(False, "read over its limit raises")  # noqa: FBT003 (never holds)


def _wrong_calls(ground: Ground, key: str) -> dict[str, tuple[type[Exception], Callable[[], Any]]]:
    storage: Any = ground.storage
    small: dict[str, tuple[type[Exception], dict[str, object]]] = {
        "metadata that is a number": (TypeError, {"metadata": {"a": 5}}),
        "metadata that is a list": (TypeError, {"metadata": [("a", "b")]}),
        "a content type that is a number": (TypeError, {"content_type": 5}),
        "a cache control that is a number": (TypeError, {"cache_control": 5}),
        "a sha256 that is none": (ValueError, {"sha256": "zz"}),
        "an empty sha256": (ValueError, {"sha256": ""}),
        "a size below 0": (ValueError, {"max_size": -1}),
        "a size as text": (TypeError, {"max_size": "5"}),
        "put with an access that is none": (ValueError, {"access": "public"}),
    }
    puts = {
        what: (error, lambda options=options: storage.put(key, SMALL, **options))
        for what, (error, options) in small.items()
    }
    sign = storage.url
    return puts | {
        "set_access to what is none": (ValueError, lambda: storage.set_access(key, "public")),
        "a limit as text": (TypeError, lambda: storage.read(key, "5")),
        "a limit below 0": (ValueError, lambda: storage.read(key, -1)),
        "a start as text": (TypeError, lambda: storage.read(key, 5, start="0")),
        "a length with a fraction": (TypeError, lambda: storage.read(key, 5, length=1.5)),
        "a list's limit as text": (TypeError, lambda: list(storage.list(limit="5"))),
        "a token that is a number": (TypeError, lambda: list(storage.list(token=5))),
        "an address for a timedelta": (TypeError, lambda: sign(key, expires=timedelta(1))),
        "an address for ever": (ValueError, lambda: sign(key, expires=1e300)),
        "half a surrogate pair": (ValueError, lambda: sign(key, expires=9, filename="\udc80")),
    }


CHECKS = (
    wrong_sources_are_refused,
    put_takes_bytes_of_any_kind,
    keys_of_another_type_are_refused,
    wrong_values_are_refused,
    a_download_goes_to_a_path_as_text_too,
    read_names_what_is_too_large,
)

"""What a failed call held is free before the next one begins, without the garbage collector."""

from __future__ import annotations

import contextlib
import gc
import sys
import traceback
import weakref

import pytest

from uploadmill.backends.storage.attempts import Timing
from uploadmill.backends.storage.failover import FailoverStorage
from uploadmill.backends.storage.letting_go import let_go
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.errors import StorageUnavailable


class Block:
    """Bytes on their way."""


class ClientError(Exception):
    """Tells what it was made of as some clients' errors do: as an attribute."""

    def __init__(self, reason):
        super().__init__("no connection")
        self.reason = reason


def asked(block):
    """Hands its error on as a value, as botocore does, and stays in no traceback."""
    error = sent(block)
    return {"error": error, "block": block}["error"]


def sent(block):
    try:
        return refused(block)
    except ConnectionRefusedError as error:
        return raised(ClientError(error))


def refused(block):
    raise ConnectionRefusedError(str(block))


def raised(error):
    try:
        raise error
    except ClientError as caught:
        return caught


def call(block):
    """Raises an error that holds this call, whose variable it is: a circle."""
    error = asked(block)
    raise error


@contextlib.contextmanager
def translated():
    handled = sys.exception()
    try:
        yield
    except ClientError as error:
        let_go(error, handled)
        raise StorageUnavailable("primary", "refused") from error


class Refusing(MemoryStorage):
    """Notes of each block whether it was freed."""

    def __init__(self):
        super().__init__(name="primary")
        self.blocks = []

    def put(self, *_args, **_options):
        block = Block()
        self.blocks.append(weakref.ref(block))
        with translated():
            call(block)


class Looking(MemoryStorage):
    """Looks, when it is asked, what is left of the primary's blocks."""

    def __init__(self, primary):
        super().__init__(name="secondary")
        self.primary = primary
        self.found = None

    def put(self, *args, **options):
        self.found = [block() for block in self.primary.blocks]
        return super().put(*args, **options)


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_the_secondary_begins_when_all_is_free_that_the_primary_was_sent():
    primary = Refusing()
    secondary = Looking(primary)
    both = FailoverStorage(primary, secondary, timing=Timing(sleep=lambda _: None))

    both.put("a", b"bytes")

    assert [None, None, None] == secondary.found


@pytest.mark.usefixtures("no_collector")
def test_the_error_still_says_where_it_came_from():
    with pytest.raises(StorageUnavailable) as caught:
        Refusing().put("a", b"bytes")

    told = "".join(traceback.format_exception(caught.value))
    for name in ("in call", "in put", "ClientError: no connection", "StorageUnavailable"):
        assert name in told


def kept(errors):
    """A generator of the program around a store; while it waits, an error leads to its frame."""
    try:
        refused("kept")
    except ConnectionRefusedError as error:
        errors.append(error)
    yield "first"
    yield "second"


def test_a_generator_of_the_caller_goes_on_after_its_error_came_through_a_call():
    errors = []
    waiting = kept(errors)
    assert "first" == next(waiting)

    with pytest.raises(StorageUnavailable), translated():
        raise ClientError(errors[0])

    assert "second" == next(waiting)


def test_what_the_caller_was_handling_keeps_its_variables():
    def of_the_program():
        told = "to whoever reports the error"
        raise LookupError(told)

    try:
        of_the_program()
    except LookupError as error:
        with contextlib.suppress(StorageUnavailable):
            Refusing().put("a", b"bytes")
        frame = error.__traceback__.tb_next.tb_frame
        assert {"told": "to whoever reports the error"} == frame.f_locals

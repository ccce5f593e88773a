"""Ways to break the primary: by the proxy before it, and the server itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from services.s3_proxy import Fault
from services.waiting import eventually

from uploadmill.backends.storage.base import Storage
from uploadmill.errors import StorageUnavailable

if TYPE_CHECKING:
    from chaos.storage.ground import StorageGround

#: The primary is broken while the block lasts, and whole again after it.
Break = Callable[["StorageGround"], AbstractContextManager[None]]


def answering(fault: Fault) -> Break:
    """The proxy does something to requests."""

    @contextmanager
    def broken(ground: StorageGround) -> Iterator[None]:
        ground.proxy.struck = 0
        ground.proxy.fault = fault
        try:
            yield
        finally:
            ground.proxy.fault = None
            ground.struck += ground.proxy.struck

    return broken


@contextmanager
def refused(ground: StorageGround) -> Iterator[None]:
    """The proxy does not listen, and all its connections are broken."""
    ground.proxy.refuse()
    ground.struck += 1
    try:
        yield
    finally:
        ground.proxy.listen()


@contextmanager
def frozen(ground: StorageGround) -> Iterator[None]:
    """The server stands still: a black hole, in the middle of what it was doing."""
    ground.primary.freeze()
    ground.struck += 1
    try:
        yield
    finally:
        ground.primary.thaw()


@contextmanager
def killed(ground: StorageGround) -> Iterator[None]:
    """The server dies, and starts again on what it had on its disk."""
    ground.primary.stop()
    ground.struck += 1
    try:
        yield
    finally:
        ground.primary.start_again()


@contextmanager
def read_only(ground: StorageGround) -> Iterator[None]:
    """The server lets our key read, and nothing else."""
    with _admitted(ground, _lets_us_write, "Read", "List"):
        yield


@contextmanager
def key_denied(ground: StorageGround) -> Iterator[None]:
    """The server has another secret for our key: every signature is wrong."""
    with _admitted(ground, _lets_us_in, "Admin", secret_key="changed-since"):
        yield


@contextmanager
def bucket_deleted(ground: StorageGround) -> Iterator[None]:
    """The bucket is deleted, with what is in it, and made again."""
    ground.primary.delete_bucket("primary")
    ground.struck += 1
    try:
        yield
    finally:
        ground.primary.make_bucket("primary")


@contextmanager
def _admitted(
    ground: StorageGround, ours: Callable[[Storage], bool], *actions: str, **key: str
) -> Iterator[None]:
    """Our key may do no more than *actions*, and *ours* has found that out."""
    store = ground.stores.primary
    ground.primary.admit(*actions, **key)
    _wait(lambda: not ours(store))
    ground.struck += 1
    try:
        yield
    finally:
        ground.primary.admit("Admin")
        _wait(lambda: ours(store))


def _wait(until: Callable[[], bool]) -> None:
    if not eventually(until):
        raise TimeoutError("the server did not read its identities again")


def _lets_us_write(store: Storage) -> bool:
    # That there is no such object is found out by those alone who may delete it.
    return _answers(lambda: store.delete("no-such-object"))


def _lets_us_in(store: Storage) -> bool:
    return _answers(store.ping)


def _answers(call: Callable[[], None]) -> bool:
    try:
        call()
    except StorageUnavailable:
        return False
    return True

"""How a file becomes an object of a local store, and how an object goes.

What is decided between writers is decided by the kernel: by one link, or one rename.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uploadmill.backends.storage import local_sidecar as sidecar
from uploadmill.backends.storage.local_errors import translated
from uploadmill.backends.storage.local_folders import ABSENT, folder, look, prune
from uploadmill.backends.storage.local_incoming import AREA, TAKEN, Incoming
from uploadmill.backends.storage.local_sidecar import Sidecar, state_of
from uploadmill.errors import (
    InvalidKey,
    ObjectChanged,
    ObjectExists,
    ObjectNotFound,
    StorageUnavailable,
)

#: How often a write starts again when others remove folders under it.
_TRIES = 20


class LocalWriter:
    """Writes and removes the objects below a folder, which must be there.

    Args:
        store: Its name, for messages.
        root: The folder.
    """

    def __init__(self, store: str, root: Path) -> None:
        self._store = store
        self._root = root

    @contextmanager
    def incoming(self, prefix: str = "") -> Iterator[Incoming]:
        """A new file in the store's own area, gone at the end unless it became an object."""
        with contextlib.ExitStack() as stack:
            with translated(self._store):
                area = stack.enter_context(folder(self._root, AREA, create=True))
                incoming = Incoming(self._store, area, prefix)
            stack.callback(incoming.discard)
            yield incoming

    def show(self, incoming: Incoming, facts: Sidecar, *, create_only: bool) -> None:
        """Make a written file the object: its sidecar first, then the name.

        Raises:
            ObjectExists: *create_only*, and the key is taken.
            InvalidKey: A part of the key is an object, or there are objects below it.
        """
        state = self._keep(facts, incoming)
        try:
            with translated(self._store):
                self._publish(incoming, facts.key, create_only=create_only)
        except BaseException:
            sidecar.remove(self._root, facts.key, state)
            raise

    def _keep(self, facts: Sidecar, incoming: Incoming) -> str:
        """Keep the facts of a written file, under a state that it has and no other.

        It is stamped until that is so, as it is at once but on coarse clocks. The facts appear
        whole, or a killed process would leave what nobody knows the key of.
        """
        with self.incoming() as beside, translated(self._store):
            beside.write(sidecar.document(facts))
            os.fsync(beside.descriptor)
            for _ in range(_TRIES):
                sidecar.stamp(incoming.descriptor)
                state = state_of(incoming.facts())
                with contextlib.suppress(FileExistsError):
                    sidecar.show(self._root, beside, facts.key, state)
                    os.fsync(incoming.descriptor)
                    return state
        raise StorageUnavailable(self._store, "the file system's clock is too coarse")

    def _publish(self, incoming: Incoming, key: str, *, create_only: bool) -> None:
        *segments, last = key.split("/")
        for _ in range(_TRIES):
            try:
                with folder(self._root, segments, create=True) as target:
                    self._link(incoming, target, key, last, create_only=create_only)
                    os.fsync(target)
            except FileNotFoundError:
                # The folder was empty and somebody's delete removed it under us.
                continue
            except NotADirectoryError:
                raise InvalidKey(self._store, key, "a part of it is an object or a link") from None
            return
        raise StorageUnavailable(self._store, "folders vanish as fast as they are made")

    def _link(
        self, incoming: Incoming, target: int, key: str, last: str, *, create_only: bool
    ) -> None:
        """The one step by which a key gets its new content, decided by the kernel."""
        before = look(target, last)
        if before is not None and stat.S_ISDIR(before.st_mode):
            raise InvalidKey(self._store, key, "there are objects below it")
        try:
            incoming.become(target, last, create_only=create_only)
        except FileExistsError:
            raise ObjectExists(self._store, key) from None
        except IsADirectoryError:
            raise InvalidKey(self._store, key, "there are objects below it") from None
        if before is not None:
            sidecar.remove(self._root, key, state_of(before))

    def remove(self, key: str) -> None:
        """Remove an object, and the folders that are empty then.

        Raises:
            FileNotFoundError: No such folder.
            NotADirectoryError: A part of the key is an object.
        """
        *segments, last = key.split("/")
        with folder(self._root, segments) as descriptor:
            before = look(descriptor, last)
            if before is None or stat.S_ISDIR(before.st_mode):
                return
            os.unlink(last, dir_fd=descriptor)
            os.fsync(descriptor)
        sidecar.remove(self._root, key, state_of(before))
        prune(self._root, segments)

    def remove_state(self, key: str, state: str) -> None:
        """Remove an object that was in this state a moment ago.

        It is taken away first, and looked at then: one that was written since that moment is put
        back, and is missing for another. Where it cannot be put back, it is kept in the area.

        Raises:
            ObjectNotFound: There is none.
            ObjectChanged: It is in another state.
        """
        with self.incoming(TAKEN) as incoming:
            taken = self._take(incoming, key)
            if taken != state:
                self._put_back(incoming, key, taken)
            incoming.forget()
        if taken != state:
            raise ObjectChanged(self._store, key)
        sidecar.remove(self._root, key, state)
        prune(self._root, key.split("/")[:-1])

    def _take(self, incoming: Incoming, key: str) -> str:
        """Take an object away, into *incoming*; its state."""
        *segments, last = key.split("/")
        with translated(self._store):
            try:
                with folder(self._root, segments) as descriptor:
                    taken = incoming.take(descriptor, last)
                    os.fsync(descriptor)
            except ABSENT:
                raise ObjectNotFound(self._store, key) from None
        return state_of(taken)

    def _put_back(self, incoming: Incoming, key: str, state: str) -> None:
        """Show an object again that was taken away, unless there is a newer one by now."""
        try:
            with translated(self._store):
                self._publish(incoming, key, create_only=True)
        except ObjectExists:
            sidecar.remove(self._root, key, state)

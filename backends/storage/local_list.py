"""The entries of a local store in key order, one folder in memory at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from uploadmill.backends.storage.arguments import Ask
from uploadmill.backends.storage.keys import is_key
from uploadmill.backends.storage.listing import Entry
from uploadmill.backends.storage.local_errors import translated
from uploadmill.backends.storage.local_folders import entries
from uploadmill.backends.storage.local_sidecar import state_of
from uploadmill.backends.storage.objects import Folder, ObjectStat


@dataclass(frozen=True, slots=True)
class FolderWalk:
    """A walk through a store's folders.

    Attributes:
        store: Its name, for messages.
        root: Its folder.
        ask: What is to be listed.
        after: The key after which to go on; empty: from the beginning.
    """

    store: str
    root: Path
    ask: Ask
    after: str

    def entries(self) -> Iterator[Entry]:
        """What is asked for, but for the limit."""
        return self.below(tuple(self.ask.prefix.split("/")[:-1]))

    def below(self, segments: tuple[str, ...]) -> Iterator[Entry]:
        """What is asked for of all that is in a folder."""
        with translated(self.store):
            found = entries(self.root, segments)
        for name, facts in found:
            key = "/".join((*segments, name))
            if stat.S_ISREG(facts.st_mode):
                if key > self.after and key.startswith(self.ask.prefix) and is_key(key):
                    yield _listed(key, facts)
            elif stat.S_ISDIR(facts.st_mode) and is_key(key):
                yield from self._of_folder((*segments, name))

    def _of_folder(self, segments: tuple[str, ...]) -> Iterator[Entry]:
        """The entries that a folder stands for: itself, what is in it, or nothing."""
        key, asked, after = "/".join((*segments, "")), self.ask.prefix, self.after
        if self.ask.folders and key.startswith(asked) and key != asked:
            if key > after and self._has_any(segments):
                yield Folder(key)
        elif _may_hold(key, asked) and (key > after or after.startswith(key)):
            yield from self.below(segments)

    def _has_any(self, segments: tuple[str, ...]) -> bool:
        """Whether there is an object in a folder, at any depth."""
        every = replace(self, ask=replace(self.ask, folders=False), after="")
        return any(every.below(segments))


def _listed(key: str, facts: os.stat_result) -> ObjectStat:
    modified = datetime.fromtimestamp(facts.st_mtime_ns / 1e9, UTC)
    return ObjectStat(key=key, size=facts.st_size, etag=state_of(facts), modified=modified)


def _may_hold(folder_prefix: str, prefix: str) -> bool:
    """Whether a folder can hold keys that start with *prefix*."""
    return folder_prefix.startswith(prefix) or prefix.startswith(folder_prefix)

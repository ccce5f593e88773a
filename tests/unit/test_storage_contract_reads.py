"""The contract of reading catches stores that break it in a way that no other check sees."""

import io
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from uploadmill.backends.storage.contract import CHECKS, Ground, run_check
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.errors import ObjectChanged, StorageUnavailable


class Broken(MemoryStorage):
    """A good store; each subclass breaks one thing, which only the check named by it catches."""

    caught_by = ""


class ReadsOnWhenItsWithIsLeft(Broken):
    caught_by = "read_ends_with_its_with"

    def __init__(self):
        super().__init__()
        self.never_closed = ExitStack()

    @contextmanager
    def open(self, key, **options):
        yield self.never_closed.enter_context(super().open(key, **options))


class EndsQuietlyWhenItsWithIsLeft(Broken):
    caught_by = "read_ends_with_its_with"

    @contextmanager
    def open(self, key, **options):
        with super().open(key, **options) as reader:
            yield (quiet := _Quiet(reader))
        quiet.ended = True


class _Quiet:
    def __init__(self, reader):
        self.stat = reader.stat
        self.reader = reader
        self.ended = False

    def read(self, size):
        return b"" if self.ended else self.reader.read(size)


class CountsEndsWith64Bits(Broken):
    caught_by = "read_takes_ranges_of_any_size"

    @contextmanager
    def open(self, key, *, start=0, length=None, **options):
        if start + (length or 0) > 1 << 63:
            length = 0
        with super().open(key, start=start, length=length, **options) as reader:
            yield reader


class SeeksBeyondItself(Broken):
    caught_by = "read_takes_ranges_of_any_size"

    @contextmanager
    def open(self, key, *, start=0, **options):
        with super().open(key, start=start, **options) as reader:
            io.BytesIO().seek(start)
            yield reader


class TakesTheFactsOfNothingLater(Broken):
    caught_by = "read_beside_a_writer_is_of_one_state"

    @contextmanager
    def open(self, key, *, start=0, **options):
        with super().open(key, start=start, **options) as reader:
            if start >= reader.stat.size:
                time.sleep(0.005)
                reader.stat = self.stat(key)
            yield reader


class TakesTheFactsOfNothingWhenAsked(Broken):
    caught_by = "read_never_mixes_two_states"

    @contextmanager
    def open(self, key, *, if_match=None, **options):
        with super().open(key, if_match=if_match, **options) as reader:
            yield _Late(self, reader) if reader.stat.size == 0 else reader


class _Late:
    def __init__(self, storage, reader):
        self.storage = storage
        self.key = reader.stat.key
        self.read = reader.read

    @property
    def stat(self):
        return self.storage.stat(self.key)


class TakesAStarForAnyEtag(Broken):
    caught_by = "an_etag_that_no_store_gives_matches_nothing"

    @contextmanager
    def open(self, key, *, if_match=None, **options):
        any_state = None if if_match == "*" else if_match
        with super().open(key, if_match=any_state, **options) as reader:
            yield reader


class DeletesForAStar(Broken):
    caught_by = "an_etag_that_no_store_gives_matches_nothing"

    def delete(self, *keys, if_match=None):
        super().delete(*keys, if_match=None if if_match == "*" else if_match)


class TakesListsOfEtags(Broken):
    caught_by = "an_etag_that_no_store_gives_matches_nothing"

    @contextmanager
    def open(self, key, *, if_match=None, **options):
        first = None if if_match is None else if_match.partition(",")[0]
        with super().open(key, if_match=first, **options) as reader:
            yield reader


class TakesEtagsForNumbers(Broken):
    caught_by = "an_etag_that_no_store_gives_matches_nothing"

    def delete(self, *keys, if_match=None):
        super().delete(*keys, if_match=if_match and if_match.lstrip("0"))


class CannotSendSuchAnEtag(Broken):
    caught_by = "an_etag_that_no_store_gives_matches_nothing"

    @contextmanager
    def open(self, key, *, if_match=None, **options):
        if if_match is not None and not if_match.isascii():
            raise StorageUnavailable(self.name, "UnicodeEncodeError")
        with super().open(key, if_match=if_match, **options) as reader:
            yield reader


class TellsNothingOfEtagsOfNothing(Broken):
    caught_by = "an_etag_that_no_store_gives_matches_nothing"

    @contextmanager
    def open(self, key, *, if_match=None, **options):
        if if_match == "*":
            raise ObjectChanged(self.name, key)
        with super().open(key, if_match=if_match, **options) as reader:
            yield reader


class SharesTheMetadataItKeeps(Broken):
    caught_by = "what_is_told_is_the_callers_own"

    def stat(self, key):
        super().stat(key)
        return self._objects[key].stat


class KeepsTheMetadataItWasGiven(Broken):
    caught_by = "what_is_told_is_the_callers_own"

    def put(self, key, source, *, metadata=None, **options):
        stat = super().put(key, source, metadata=metadata, **options)
        found = self._objects[key]
        given = replace(found.stat, metadata=metadata or {})
        self._objects[key] = replace(found, stat=given)
        return stat


def faults(storage):
    """The names of the checks that a store fails."""
    ground = Ground(storage, "ground/", 3 * CHUNK + 7, 120)
    results = [run_check(name, check, ground) for name, check in CHECKS.items()]
    return [result.name for result in results if not result.ok]


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("broken", Broken.__subclasses__(), ids=lambda each: each.__name__)
def test_one_check_and_no_other_catches(broken):
    assert [broken.caught_by] == faults(broken())


def test_nothing_is_caught_where_nothing_is_broken():
    assert [] == faults(Broken())

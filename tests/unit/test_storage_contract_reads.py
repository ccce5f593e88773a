"""The contract of reading catches stores that break it in a way that no other check sees."""

from contextlib import ExitStack, contextmanager

import pytest

from uploadmill.backends.storage.contract import CHECKS, Ground, run_check
from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.backends.storage.sources import CHUNK


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

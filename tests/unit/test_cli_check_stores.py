"""A store that does not do what jobs rest on is found out by ``uploadmill check``."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from uploadmill.backends.storage.memory import MemoryStorage
from uploadmill.errors import IntegrityError, ObjectNotFound, StorageUnavailable
from uploadmill.settings import Settings
from uploadmill.worker.checks import stores as stores_module
from uploadmill.worker.checks.finding import Finding, Level
from uploadmill.worker.checks.stores import check_stores

SETTINGS = Settings.model_validate(
    {role: {"url": "s3://bucket/" + role} for role in ("staging", "primary", "secondary")}
    | {"quarantine": {"url": "s3://bucket/quarantine"}, "prefix": "files"}
)


class Forgetful(MemoryStorage):
    """Ignores that writes are conditional, as some S3 servers do."""

    def put(self, key, source, **options):
        return super().put(key, source, **{**options, "create_only": False})


class Loses(MemoryStorage):
    """Keeps nothing, but says that it did."""

    def open(self, key, **_):
        raise ObjectNotFound(self.name, key)


class Garbles(MemoryStorage):
    """Gives back other bytes."""

    @contextmanager
    def open(self, key, **options):
        with super().open(key, **options) as reader:
            reader.read(1)
            yield reader


class Detects(MemoryStorage):
    """Notices by itself that its bytes are not the right ones."""

    def open(self, key, **_):
        raise IntegrityError(self.name, key, "checksum differs")


class Refuses(MemoryStorage):
    """Answers nobody."""

    def put(self, *_, **__):
        raise StorageUnavailable(self.name, "access denied", retry_here=False)


@pytest.mark.parametrize(
    ("store", "what"),
    [
        (Forgetful, "it created an object that was there already"),
        (Loses, "what was written is not there"),
        (Garbles, "other bytes came back than were written"),
        (Detects, "checksum differs"),
        (Refuses, "access denied"),
    ],
)
def test_each_breach_is_named_for_each_role(monkeypatch, store, what):
    found = _look(monkeypatch, lambda role: store(name=role))

    assert {Level.FAULT} == {finding.level for finding in found}
    assert all(what in finding.what and finding.why and finding.how for finding in found)
    assert ["staging store", "primary store", "secondary store", "quarantine store"] == [
        finding.check for finding in found
    ]


def test_it_writes_only_where_jobs_write(monkeypatch):
    # Given stores that note what is written
    keys = []

    class Noting(MemoryStorage):
        def put(self, key, source, **options):
            keys.append((self.name, key.split("/")[0]))
            return super().put(key, source, **options)

    found = _look(monkeypatch, lambda role: Noting(name=role))

    # Then credentials that are good for those folders alone are enough
    assert {Level.OK} == {finding.level for finding in found}
    first = dict(keys)
    assert ("uploads", "files", "files") == tuple(
        map(first.get, ("staging", "primary", "secondary"))
    )


def test_settings_that_name_no_store_are_a_fault():
    settings = SETTINGS.model_copy(
        update={"primary": SETTINGS.primary.model_copy(update={"url": "ftp://host/x"})}
    )

    finding = stores_module._check_store(settings, "primary", "why")

    assert "no scheme that is known" in finding.what


def _look(monkeypatch: pytest.MonkeyPatch, make) -> list[Finding]:
    monkeypatch.setattr(stores_module, "storage_from", lambda _, role: make(role))
    return list(check_stores(SETTINGS))

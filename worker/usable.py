"""Settings that can be read and still cannot work: found before a worker takes its first job."""

from __future__ import annotations

import os
from collections.abc import Iterator

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.scanner.clamd import ClamdScanner
from uploadmill.backends.storage import stores_from
from uploadmill.mistakes import noted, refuse
from uploadmill.settings import Settings
from uploadmill.settings_stores import ROLES, StoreSettings
from uploadmill.tasks.registry import expand
from uploadmill.worker.configuration import hard_limit, insist_on_broker


def insist_usable(settings: Settings) -> None:
    """Make everything that jobs are going to use, and connect to nothing.

    What is made here is thrown away: clients are made by each process for itself.

    Raises:
        InvalidSettings: With everything that jobs would fail for.
    """
    mistakes: list[str] = []
    with noted(mistakes):
        Ledger(settings.redis_url, settings.ledger).close()
    with noted(mistakes):
        insist_on_broker(settings)
    with noted(mistakes):
        stores_from(settings)
    mistakes += _out_of_reach(settings)
    if settings.scanner.required:
        with noted(mistakes):
            ClamdScanner(settings.scanner.address, settings.scanner.timeout)
    _note_pipelines(settings, mistakes)
    refuse("no job can be worked on with these settings", mistakes)


def insist_on_pipelines(settings: Settings) -> None:
    """The same for the pipelines alone.

    Raises:
        InvalidSettings: With every mistake of all pipelines.
    """
    mistakes: list[str] = []
    _note_pipelines(settings, mistakes)
    refuse("the pipelines cannot be used", mistakes)


def _out_of_reach(settings: Settings) -> Iterator[str]:
    """What this user may not read or write, and nobody tries to before it is late."""
    for role in ROLES:
        store: StoreSettings = getattr(settings, role)
        # Those of Azure are read when the store is opened.
        key_file = store.credentials_path if store.url.startswith("gs:") else None
        if key_file is not None and not os.access(key_file, os.R_OK):
            yield f"{role}.credentials_path: there is no file that this user may read"
    alive = settings.worker.liveness_file
    if alive and not os.access(alive if alive.exists() else alive.parent, os.W_OK):
        yield "worker.liveness_file: it cannot be touched by this user, or has no folder"


def _note_pipelines(settings: Settings, mistakes: list[str]) -> None:
    before = len(mistakes)
    for name in settings.pipeline_names:
        with noted(mistakes, f"pipelines.{name}: "):
            expand(settings, name)
    if len(mistakes) == before:
        with noted(mistakes):
            hard_limit(settings)

"""All checks in their order; one that breaks does not stop the others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from uploadmill.errors import InvalidSettings
from uploadmill.settings import Settings
from uploadmill.worker.checks.circuits import check_circuits
from uploadmill.worker.checks.configured import (
    check_apart,
    check_limits,
    check_pipelines,
    mistaken,
    read_settings,
)
from uploadmill.worker.checks.finding import Check, Finding, fault, good
from uploadmill.worker.checks.node import check_codecs, check_libmagic, check_workspace
from uploadmill.worker.checks.nodes import check_nodes
from uploadmill.worker.checks.queue import check_queue
from uploadmill.worker.checks.redis import check_broker, check_durability, check_ledger
from uploadmill.worker.checks.scanner import check_scanner
from uploadmill.worker.checks.stores import check_stores

CHECKS: tuple[Check, ...] = (
    check_pipelines,
    check_limits,
    check_apart,
    check_broker,
    check_queue,
    check_ledger,
    check_durability,
    check_nodes,
    check_stores,
    check_circuits,
    check_scanner,
    check_libmagic,
    check_codecs,
    check_workspace,
)


def examine(environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Everything that the checks find, as soon as it is known."""
    settings, mistakes = read_settings(environ)
    yield from mistakes
    if settings is None:
        return
    yield good("settings", "every name and value is known")
    told: set[Finding] = set()
    for check in CHECKS:
        for finding in _run(check, settings):
            # A mistake in the settings meets all checks that use the same server.
            if finding not in told:
                yield finding
            told.add(finding)


def _run(check: Check, settings: Settings) -> Iterator[Finding]:
    try:
        yield from check(settings)
    except InvalidSettings as error:
        yield from mistaken(error, "a process that needs it ends with this message")
    except Exception as error:  # noqa: BLE001 - a report with a hole is better than none
        name = check.__name__.removeprefix("check_")
        # No more than its name: what a stranger's error says may be a password.
        what = f"the check itself broke: {type(error).__name__}"
        yield fault(name, what, "nobody knows", "this is a mistake in uploadmill: report it")

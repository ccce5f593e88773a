"""All checks in their order; one that breaks does not stop the others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from uploadmill.settings import Settings
from uploadmill.worker.checks.circuits import check_circuits
from uploadmill.worker.checks.configured import (
    check_apart,
    check_limits,
    check_pipelines,
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
    for check in CHECKS:
        yield from _run(check, settings)


def _run(check: Check, settings: Settings) -> Iterator[Finding]:
    try:
        yield from check(settings)
    except Exception as error:  # noqa: BLE001 - a report with a hole is better than none
        name = check.__name__.removeprefix("check_")
        what = f"the check itself broke: {type(error).__name__}: {error}"
        yield fault(name, what, "nobody knows", "this is a mistake in uploadmill: report it")

"""The settings themselves: every mistake at once, before anything is connected."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from uploadmill.errors import InvalidSettings
from uploadmill.pipeline import Pin, Plan
from uploadmill.settings import Settings
from uploadmill.settings_stores import StoreSettings
from uploadmill.tasks.registry import expand
from uploadmill.worker.checks.finding import Finding, fault, good
from uploadmill.worker.configuration import hard_limit

#: The roles whose stores must be apart, and what happens where they are not.
APART = (
    ("quarantine", "primary", "infected files would lie beside the stored ones"),
    ("quarantine", "secondary", "infected files would lie beside the stored ones"),
    ("quarantine", "staging", "infected files would lie where clients upload"),
    ("primary", "staging", "what is public and what nobody has looked at would lie together"),
    ("secondary", "staging", "what is public and what nobody has looked at would lie together"),
    ("primary", "secondary", "when the primary is out there is nowhere to fail over to"),
)


def read_settings(environ: Mapping[str, str] = os.environ) -> tuple[Settings | None, list[Finding]]:
    """The settings if they can be read, and what is wrong with them."""
    try:
        settings = Settings.load(environ)
    except InvalidSettings as error:
        return None, mistaken(error, "no process can start, and nothing else can be checked")
    return settings, []


def mistaken(error: InvalidSettings, why: str) -> list[Finding]:
    """A finding for each mistake in the settings."""
    how = "correct uploadmill.toml (or the file UPLOADMILL_CONFIG names) or the variable"
    return [fault("settings", mistake, why, how) for mistake in error.mistakes]


def plans(settings: Settings) -> dict[str, Plan]:
    """The plan of every pipeline that has no mistakes."""
    found = {}
    for name in settings.pipeline_names:
        try:
            found[name] = expand(settings, name)
        except InvalidSettings:
            continue
    return found


def check_pipelines(settings: Settings) -> Iterator[Finding]:
    """Every pipeline can be spelled out."""
    for name in settings.pipeline_names:
        try:
            expand(settings, name)
        except InvalidSettings as error:
            for mistake in error.mistakes:
                yield fault(
                    f"pipeline {name}",
                    mistake,
                    "jobs of this pipeline wait until their deadline",
                    f"correct [pipelines.{name}] in the settings",
                )
    right = plans(settings)
    yield good("pipelines", f"spelled out: {', '.join(right) or 'none'}")


def check_limits(settings: Settings) -> Iterator[Finding]:
    """Limits and time limits fit each other."""
    if len(plans(settings)) < len(settings.pipeline_names):
        return
    try:
        seconds = hard_limit(settings)
    except InvalidSettings as error:
        yield fault(
            "time limits",
            str(error),
            "a message would come back while its job is still running",
            "raise worker.visibility_timeout, or lower the steps' time_limit",
        )
    else:
        yield good("time limits", f"a job may take {seconds:g} s on a worker")
    for name, plan in plans(settings).items():
        size = max_size(plan)
        if size > settings.max_size:
            yield fault(
                f"pipeline {name}",
                f"takes {size:,} bytes, but a producer stages {settings.max_size:,} at most",
                "larger uploads are refused before the pipeline is asked",
                "raise max_size in the settings, or lower the max_size of its validate step",
            )


def max_size(plan: Plan) -> int:
    """Bytes of the largest upload that *plan* takes."""
    return int(str(plan[Pin.step].options["max_size"]))


def check_apart(settings: Settings) -> Iterator[Finding]:
    """No two roles share a store where that breaks a promise."""
    for one, other, why in APART:
        if _place(getattr(settings, one)) == _place(getattr(settings, other)):
            yield fault(
                "stores",
                f"{one} and {other} are the same store",
                why,
                f"give {one}.url another bucket, prefix or folder",
            )


def _place(store: StoreSettings) -> tuple[str, str | None] | object:
    # Each memory store is one of its own.
    return object() if store.url == "memory:" else (store.url.rstrip("/"), store.endpoint_url)

"""Named points at which a healer is let die: after each of the things it does to a job."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos.armed import Armed
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.storage.local import LocalStorage

POINTS = (
    "heal.after_first_output",
    "heal.after_last_output",
    "heal.after_result",
    "heal.after_relocate",
    "heal.after_result_delete",
    "heal.after_first_output_delete",
    "heal.after_last_output_delete",
)

_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def put_in(options: dict[str, Any]) -> None:
    """Wrap what a healer does."""
    armed = Armed(Path(options["folder"]), options["stop_for"])

    def strike(key: str, what: str) -> None:
        job = _JOB_ID.search(key)
        if job is not None:
            armed.strike(job.group(), f"heal.after_{_kind(armed, job.group(), key, what)}{what}")

    def put(original: Callable[..., Any], store: Any, key: str, *rest: Any, **options: Any) -> Any:
        stat = original(store, key, *rest, **options)
        if store.name == "primary":
            strike(key, "")
        return stat

    def delete(original: Callable[..., Any], store: Any, *keys: str) -> None:
        for key in keys:
            original(store, key)
            if store.name == "secondary":
                strike(key, "_delete")

    def relocate(original: Callable[..., Any], ledger: Any, job_id: str, *rest: Any) -> Any:
        answer = original(ledger, job_id, *rest)
        armed.strike(job_id, "heal.after_relocate")
        return answer

    for owner, name, around in (
        (LocalStorage, "put", put),
        (LocalStorage, "delete", delete),
        (Ledger, "relocate", relocate),
    ):
        _wrap(owner, name, around)


def _kind(armed: Armed, job_id: str, key: str, what: str) -> str:
    return "result" if key.endswith("/result.json") else f"{armed.which(job_id, what)}_output"


def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **options: around(original, *args, **options))

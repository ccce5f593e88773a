"""Named points in the product at which a test lets a process die or stand still.

Points are put in by wrapping the product's functions; the product knows nothing of them. What
happens at one is :mod:`chaos.armed`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos.armed import Armed
from uploadmill.backends.ledger.decisions import Decisions
from uploadmill.backends.ledger.gc_report import Broom
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.local import LocalStorage
from uploadmill.errors import LedgerUnavailable, StorageUnavailable
from uploadmill.producer.publish import Publisher
from uploadmill.wire import ENVELOPES, OUTCOMES, UPLOADS

#: Points where a worker can be struck, in the order in which a job comes to them.
WORKER_POINTS = (
    "claim.before",
    "claim.after",
    "pin.mid_read",
    "pin.complete.before",
    "pin.complete.after",
    "scan.after",
    "quarantine.after_copy",
    "commit.after_first_put",
    "commit.after_second_put",
    "commit.after_last_put",
    "outcome.before",
    "outcome.after",
    "discard.after",
    "result.after",
    "finish.after",
    "bytes.after_delete",
    "envelope.after_delete",
    "ack.before",
)

#: Points where a reply is lost: the call was done, and the caller hears of an outage.
REPLY_POINTS = ("claim.reply_lost", "complete.reply_lost", "outcome.reply_lost")

PRODUCER_POINTS = (
    "enqueue.after_bytes",
    "enqueue.after_envelope",
    "enqueue.after_accept",
    "enqueue.after_publish",
)

RECONCILE_POINTS = ("reconcile.after_outcome_read", "reconcile.after_accept")

ACTIONS = ("kill_child", "kill_group", "stop")

_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def put_in(options: dict[str, Any]) -> None:
    """Wrap what this process runs."""
    armed = Armed(Path(options["folder"]), options["stop_for"])
    _ledger(armed)
    _stores(armed)
    _settling(armed)
    _steps(armed)
    _producer(armed)


def put_in_collection(options: dict[str, Any]) -> None:
    """Wrap what a collection runs; whoever else reads envelopes is not struck."""
    armed = Armed(Path(options["folder"]), options["stop_for"])

    def look(original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        _, job_id = args
        armed.strike(job_id, "gc.after_age")
        envelope = original(*args, **options)
        armed.strike(job_id, "gc.after_envelope")
        return envelope

    def take(original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        _, kind, _, found = args
        job = _JOB_ID.search(found[0].key) if found else None
        if job is not None:
            armed.strike(job.group(), f"gc.{kind}.before")
        original(*args, **options)
        if job is not None:
            armed.strike(job.group(), f"gc.{kind}.after")

    _wrap(Decisions, "envelope", look)
    _wrap(Broom, "take", take)


def _wrap(
    owner: Any,
    name: str,
    around: Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any],
) -> None:
    original = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        return around(original, args, options)

    setattr(owner, name, wrapped)


def _ledger(armed: Armed) -> None:
    def claim(original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        job_id = args[1]
        armed.strike(job_id, "claim.before")
        answer = original(*args, **options)
        armed.strike(job_id, "claim.after")
        if armed.at(job_id, "claim.reply_lost"):
            raise LedgerUnavailable("the reply was lost, says the test")
        return answer

    def complete(
        original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        _, job_id, _, step, *_ = args
        armed.strike(job_id, f"{step}.complete.before")
        answer = original(*args, **options)
        armed.strike(job_id, f"{step}.complete.after")
        if armed.at(job_id, "complete.reply_lost"):
            raise LedgerUnavailable("the reply was lost, says the test")
        return answer

    _wrap(Ledger, "claim", claim)
    _wrap(Ledger, "complete", complete)
    _after(armed, Ledger, "finish", "finish.after", lambda _, outcome, *__: outcome.job.id)
    _after(armed, Ledger, "accept", "enqueue.after_accept", lambda _, job, *__: job.id)
    _after(armed, Ledger, "accept", "reconcile.after_accept", lambda _, job, *__: job.id)


def _after(armed: Armed, owner: Any, name: str, point: str, job_of: Callable[..., str]) -> None:
    def around(original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        answer = original(*args, **options)
        armed.strike(job_of(*args), point)
        return answer

    _wrap(owner, name, around)


def _stores(armed: Armed) -> None:
    def put(original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        store, key = args[0], args[1]
        found = _JOB_ID.search(key)
        if found is None:
            return original(*args, **options)
        job_id = found.group()
        if key.startswith(OUTCOMES):
            armed.strike(job_id, "outcome.before")
        stat = original(*args, **options)
        if key.startswith(OUTCOMES) and armed.at(job_id, "outcome.reply_lost"):
            raise StorageUnavailable(store.name, "the reply was lost, says the test")
        point = _put_point(store.name, key)
        armed.strike(job_id, point or f"commit.after_{armed.which(job_id, 'put')}_put")
        return stat

    def delete(original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        store, *keys = args
        for key in keys:
            original(store, key)
            found = _JOB_ID.search(key)
            if found and key.startswith(UPLOADS):
                armed.strike(found.group(), "bytes.after_delete")
            if found and key.startswith(ENVELOPES):
                armed.strike(found.group(), "envelope.after_delete")

    _wrap(LocalStorage, "put", put)
    _wrap(LocalStorage, "delete", delete)


def _put_point(store: str, key: str) -> str:
    """The point after a put; of an output, which has several, none."""
    if store == "quarantine":
        return "quarantine.after_copy"
    if store == "staging":
        folder = key.partition("/")[0] + "/"
        names = {
            OUTCOMES: "outcome.after",
            ENVELOPES: "enqueue.after_envelope",
            UPLOADS: "enqueue.after_bytes",
        }
        return names[folder]
    return "result.after" if key.endswith("/result.json") else ""


def _settling(armed: Armed) -> None:
    _after(armed, Settler, "discard", "discard.after", lambda _, outcome, *__: outcome.job.id)
    _after(armed, Decisions, "outcome", "reconcile.after_outcome_read", lambda _, job_id: job_id)


def _steps(armed: Armed) -> None:
    # Importing the loop imports every decoder, which takes until a worker is started.
    from uploadmill.tasks import pin, scan  # noqa: PLC0415
    from uploadmill.worker.loop import JobRun  # noqa: PLC0415

    def go(original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        run, answer = args
        armed.strike(run.job_id, f"{answer.step}.before")
        return original(*args, **options)

    def run(original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        original(*args, **options)
        armed.strike(args[0].job_id, "ack.before")

    def copied(original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        reader, target, *rest = args
        found = _JOB_ID.search(str(target))
        return original(_Struck(reader, armed, found.group() if found else ""), target, *rest)

    _wrap(JobRun, "_go", go)
    _wrap(JobRun, "run", run)
    _wrap(pin, "_copy", copied)
    _after(armed, scan.ScanTask, "run", "scan.after", lambda _, job_id: job_id)


class _Struck:
    """A stream in the middle of which something may happen."""

    def __init__(self, reader: Any, armed: Armed, job_id: str) -> None:
        self._reader = reader
        self._armed = armed
        self._job_id = job_id

    def read(self, size: int, /) -> bytes:
        chunk: bytes = self._reader.read(size)
        if chunk:
            self._armed.strike(self._job_id, "pin.mid_read")
        return chunk


def _producer(armed: Armed) -> None:
    _after(armed, Publisher, "publish", "enqueue.after_publish", lambda _, job_id: job_id)

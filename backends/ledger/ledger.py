"""The job records in Redis: who works on what, and until when.

Each transition is one Lua script of ``lua/`` on Redis' clock; the scripts are the specification
and this file only carries arguments in and answers out. Redis decides who works, never how a
job ended: that is the outcome's affair (:mod:`uploadmill.backends.ledger.decisions`).
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NoReturn, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from uploadmill.backends.ledger.answers import Accepted, Answer, End, Go, Reply, Terminal
from uploadmill.backends.ledger.record import (
    RECORD_VERSION,
    WORK_FILES,
    Ended,
    Note,
    Record,
    WorkFile,
)
from uploadmill.errors import LedgerUnavailable
from uploadmill.job import ErrorData, Outcome, Placement, ScanCertificate, UploadJob
from uploadmill.pipeline import Pin, Plan
from uploadmill.settings import LedgerSettings
from uploadmill.wire import LEDGER_PREFIX

OPEN = LEDGER_PREFIX + "open"
HEAL = LEDGER_PREFIX + "heal"
ENDED = LEDGER_PREFIX + "ended"
JOB = LEDGER_PREFIX + "job:"
AGREED = LEDGER_PREFIX + "agreed:"

#: About how many entries the stream of ended jobs keeps.
STREAM_LENGTH = 100_000

#: Seconds for which an agreed value holds after somebody last said it.
AGREED_FOR = 60.0

#: How redis-py raises that Redis does not serve us now: an outage, not a mistake of ours.
_OUTAGES = (
    redis.ConnectionError,  # refused, reset, still loading, wrong password
    redis.TimeoutError,
    redis.OutOfMemoryError,
    redis.ReadOnlyError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.ClusterDownError,
)

#: The same for errors that redis-py has no class for, by the first word of the reply.
_OUTAGE_WORDS = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY")

#: Of which texts a script is made, where that is not the usual ``clock``, ``record`` and its own.
_PARTS = {"due": ("clock", "due"), "agree": ("agree",)}


@cache
def _text(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text()


class Ledger:
    """The ledger of one Redis database.

    Args:
        url: The Redis to use. Eviction must be off and persistence on (``uploadmill check``).
        constants: The protocol's constants.
        timeout: Seconds to wait for one answer.
    """

    def __init__(self, url: str, constants: LedgerSettings, timeout: float = 5.0) -> None:
        self.constants = constants
        self.redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            protocol=2,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            # Callers repeat with the same nonce; a hidden repetition would only hide the outage.
            retry=Retry(NoBackoff(), 0),
        )
        self._scripts: dict[str, tuple[str, str]] = {}

    def close(self) -> None:
        """Give the connections back."""
        self.redis.close()

    def probe(self) -> None:
        """Prove that the ledger is there and has room for a write.

        Raises:
            LedgerUnavailable: It is not, or has none.
        """
        try:
            self.redis.set(LEDGER_PREFIX + "probe", 1, ex=1)
        except redis.RedisError as error:
            _give_up(error)

    def accept(self, job: UploadJob, payload_hash: str) -> Accepted:
        """Open a record for *job*, or say what is there already."""
        reply = self._run(
            "accept",
            job.id,
            job.model_dump_json(),
            payload_hash,
            _ms(job.deadline),
            _ms(self.constants.publish_grace),
            RECORD_VERSION,
        )
        outcome = Outcome.model_validate_json(reply[1]) if reply[0] == "ended" else None
        return Accepted(reply[0], outcome)

    def claim(self, job_id: str, node: str, nonce: str) -> Reply:
        """Take a job that nobody works on; the same *nonce* gets the same answer again."""
        constants = self.constants
        return _answer(
            self._run(
                "claim",
                job_id,
                node,
                nonce,
                random.random(),  # noqa: S311 - spreads retries, keeps no secret
                _ms(constants.lease),
                constants.crash_max,
                constants.lost_max,
                RECORD_VERSION,
            )
        )

    def renew(self, job_id: str, token: str) -> Reply:
        """Keep the lease alive for another full term."""
        return _answer(self._run("renew", job_id, token, _ms(self.constants.lease)))

    def complete(
        self,
        job_id: str,
        token: str,
        step: str,
        next_nonce: str,
        *,
        note: Note,
        made: Sequence[WorkFile] = (),
        plan: Plan | None = None,
        certificate: ScanCertificate | None = None,
        src_sha256: str | None = None,
    ) -> Reply:
        """Record that *step* is done and take the next one; repeatable with *next_nonce*."""
        # Only ``pin`` freezes the plan; the other steps need not carry it over.
        frozen = plan if step == Pin.step else None
        return _answer(
            self._run(
                "complete",
                job_id,
                token,
                step,
                WORK_FILES.dump_json(tuple(made)) if made else "",
                note.model_dump_json(),
                frozen.model_dump_json() if frozen else "",
                ",".join(frozen.names) if frozen else "",
                certificate.model_dump_json() if certificate else "",
                certificate.sha256 if certificate else "",
                certificate.verdict if certificate else "",
                src_sha256 or "",
                next_nonce,
                _ms(self.constants.lease),
            )
        )

    def release(
        self,
        job_id: str,
        token: str,
        *,
        delay: float = 0.0,
        counted: bool = False,
        error: ErrorData | None = None,
        restart: bool = False,
    ) -> Reply:
        """Give the job back, to be taken up after *delay* seconds, from ``pin`` if *restart*."""
        return _answer(
            self._run(
                "release",
                job_id,
                token,
                _ms(delay),
                "1" if counted else "",
                error.model_dump_json() if error else "",
                error.code if error else "",
                "1" if restart else "",
                self.constants.attempts_max,
            )
        )

    def crashed(self, job_id: str, token: str, cause: ErrorData | None = None) -> Reply:
        """Report, for a child that died at work, that it did; *cause* says what is known of it."""
        return _answer(
            self._run(
                "crashed",
                job_id,
                token,
                random.random(),  # noqa: S311 - spreads retries, keeps no secret
                cause.model_dump_json() if cause else "",
            )
        )

    def cancel(self, job_id: str) -> Reply:
        """Ask whoever works on the job to stop early."""
        return _answer(self._run("cancel", job_id))

    def finish(
        self,
        outcome: Outcome,
        document: bytes,
        digest: str,
        location: Placement | None,
        *,
        notify: bool = True,
    ) -> str:
        """Write down a decision: ``done``, ``same``, or ``conflict`` (which cannot happen)."""
        reply = self._run(
            "finish",
            outcome.job.id,
            document,
            digest,
            outcome.state.value,
            location.value if location else "",
            "1" if notify else "",
            _ms(self.constants.result_ttl),
            RECORD_VERSION,
            STREAM_LENGTH,
            keys=(HEAL, ENDED),
        )
        return str(reply[0])

    def due(self, limit: int) -> list[str]:
        """The ids of jobs that somebody must look at now; each is put off further every time."""
        return self._call("due", (OPEN,), (limit, JOB))

    def read(self, job_id: str) -> Record | Ended | None:
        """The record of a job as it stands; None where the ledger has none."""
        now, fields = self._run("read", job_id)
        raw = _record(fields)
        if not raw:
            return None
        if raw["state"] != "open":
            return Ended.parse(raw)
        return Record.parse(raw, running=float(raw.get("lease_until", 0)) > now)

    def agree(self, name: str, value: str, hold: float = AGREED_FOR) -> str:
        """Say what *name* is to be for everybody on this database; returns what it is.

        The first value said holds, for *hold* seconds after somebody last said it: processes
        that rely on it say it again well within that time.
        """
        return str(self._call("agree", (AGREED + name,), (value, _ms(hold)))[0])

    def _run(self, name: str, job_id: str, *arguments: Any, keys: Sequence[str] = ()) -> list[Any]:
        return self._call(name, (JOB + job_id, OPEN, *keys), (job_id, *arguments))

    def _call(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> list[Any]:
        """Run a script. By hand: redis-py's ``Script`` costs 30 us of CPU more a call."""
        text, sha = self._scripts.get(name) or self._load(name)
        words = (len(keys), *keys, *arguments)
        send = cast("Callable[..., list[Any]]", self.redis.execute_command)
        try:
            try:
                return send("EVALSHA", sha, *words)
            except redis.exceptions.NoScriptError:
                return send("EVAL", text, *words)
        except redis.RedisError as error:
            _give_up(error)

    def _load(self, name: str) -> tuple[str, str]:
        """A script's text and its sha1, by which Redis remembers it."""
        parts = _PARTS.get(name, ("clock", "record", name))
        text = "\n".join(map(self.text, parts))
        self._scripts[name] = text, hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - a name
        return self._scripts[name]

    def text(self, name: str) -> str:
        """The Lua text called *name*."""
        return _text(name)


def _answer(reply: list[Any]) -> Reply:
    match reply:
        case ["go", step, token]:
            return Go(step, token)
        case ["go", step, token, fields]:
            return Go(step, token, Record.parse(_record(fields), running=True))
        case ["end", ending, token]:
            return End(ending, token)
        case ["end", ending, token, fields]:
            return End(ending, token, Record.parse(_record(fields), running=True))
        case ["terminal", outcome]:
            return Terminal(Outcome.model_validate_json(outcome))
        case [name]:
            return Answer(name)
    raise LedgerUnavailable(f"the ledger gave an unknown answer: {reply[:1]}")


def _record(fields: str) -> Mapping[str, str]:
    """A record from one JSON array of names and values: redis-py reads 40 replies slowly."""
    flat = json.loads(fields or "[]")
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _give_up(error: redis.RedisError) -> NoReturn:
    """Raise an outage as ours, and a mistake of our own as it is."""
    word = type(error).__name__ if isinstance(error, _OUTAGES) else str(error).split(" ", 1)[0]
    if isinstance(error, _OUTAGES) or word in _OUTAGE_WORDS:
        raise LedgerUnavailable(f"Redis does not serve us ({word})") from error
    raise error

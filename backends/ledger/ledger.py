"""The job records in Redis: who works on what, and until when.

Each transition is one Lua script of ``lua/`` on Redis' clock; the scripts are the specification
and this file only carries arguments in and answers out. Redis decides who works, never how a
job ended: that is the outcome's affair (:mod:`uploadmill.backends.ledger.decisions`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from uploadmill.backends.ledger import names
from uploadmill.backends.ledger.answers import Accepted, Reply, answer_of, fields_of
from uploadmill.backends.ledger.record import (
    RECORD_VERSION,
    WORK_FILES,
    Ended,
    Note,
    Record,
    WorkFile,
)
from uploadmill.backends.ledger.scripts import Scripts, Wait, serving
from uploadmill.job import ErrorData, Outcome, Placement, ScanCertificate, UploadJob
from uploadmill.pipeline import Pin, Plan
from uploadmill.settings import LedgerSettings
from uploadmill.wire import LEDGER_PREFIX

#: About how many entries the stream of ended jobs keeps.
STREAM_LENGTH = 100_000


class Ledger(Scripts):
    """The ledger of one Redis database.

    Args:
        url: The Redis to use. Eviction must be off and persistence on (``uploadmill check``).
        constants: The protocol's constants.
        timeout: Seconds to wait for one answer.
    """

    def __init__(self, url: str, constants: LedgerSettings, timeout: float = 5.0) -> None:
        super().__init__(url, timeout)
        self.constants = constants
        self._waits = _waits(constants)

    def probe(self) -> None:
        """Prove that the ledger is there and has room for a write.

        Raises:
            LedgerUnavailable: It is not, or has none.
        """
        with serving():
            self.redis.set(LEDGER_PREFIX + "probe", 1, ex=1)

    def accept(self, job: UploadJob, payload_hash: str, *, woken: bool = True) -> Accepted:
        """Open a record for *job*, or say what is there already.

        Args:
            job: What to do.
            payload_hash: Tells another payload of the same job.
            woken: Whether the caller sends a wake; otherwise the sweeper does, at once.
        """
        reply = self._run(
            "accept",
            job.id,
            job.model_dump_json(),
            payload_hash,
            _ms(job.deadline),
            _ms(self.constants.publish_grace),
            RECORD_VERSION,
            "1" if woken else "",
            waits=self._waits,
        )
        outcome = Outcome.model_validate_json(reply[1]) if reply[0] == "ended" else None
        return Accepted(reply[0], outcome)

    def claim(self, job_id: str, node: str, nonce: str) -> Reply:
        """Take a job that nobody works on; the same *nonce* gets the same answer again."""
        constants = self.constants
        return answer_of(
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
        return answer_of(self._run("renew", job_id, token, _ms(self.constants.lease)))

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
        return answer_of(
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
        return answer_of(
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
        return answer_of(
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
        return answer_of(self._run("cancel", job_id))

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
            outcome.result.error.code if outcome.result.error else "",
            location.value if location else "",
            "1" if notify else "",
            _ms(self.constants.result_ttl),
            RECORD_VERSION,
            STREAM_LENGTH,
            keys=(names.HEAL, names.ENDED, names.FAILED, names.STRANDED),
            waits=self._waits,
        )
        return str(reply[0])

    def relocate(self, job_id: str, source: Placement, target: Placement) -> str:
        """Say that a job's outputs, so far where *source* says, are in *target* now.

        Their copy may be looked at again after ``heal_grace``.

        Returns:
            ``ok``; else where the record says that they are (``recalled``, …), ``open``,
            ``nowhere`` for a job that was not stored, or ``unknown``.
        """
        grace = _ms(self.constants.heal_grace)
        reply = self._run(
            "relocate", job_id, source, target, grace, keys=(names.HEAL, names.STRANDED)
        )
        return str(reply[0])

    def due(
        self, limit: int, *, heads: Sequence[str] | None = (), rate: int | None = None
    ) -> list[str]:
        """The ids of jobs to wake a worker for now; each is put off, further every time.

        Args:
            limit: How many at most.
            heads: The jobs whose wakes are at the head of the queue, oldest first; empty where
                nothing waits there, None where something does and nobody can see what: then
                those that were claimed tell how far the queue has come. A job whose own wake is
                behind them needs no other.
            rate: How many a second at most, for all who ask together.
        """
        queue = "unseen" if heads is None else "seen" if heads else "nothing"
        due: list[str] = self.call(
            "due",
            (names.OPEN, *names.COUNTED),
            (
                limit,
                names.JOB,
                queue,
                "" if rate is None else rate,
                random.random(),  # noqa: S311 - spreads retries, keeps no secret
                _ms(self.constants.retry_delay),
                _ms(self.constants.publish_grace),
                *(heads or ()),
            ),
        )
        return due

    def unsent(self, job_ids: Sequence[str], retry: float) -> None:
        """Take back that :meth:`due` gave these: their wakes did not go out. Again in *retry* s."""
        self.call("unsent", (names.OPEN, names.STATS), (names.JOB, _ms(retry), *job_ids))

    def read(self, job_id: str) -> Record | Ended | None:
        """The record of a job as it stands; None where the ledger has none."""
        now, *flat = self._run("read", job_id)
        raw = fields_of(flat)
        if not raw:
            return None
        if raw["state"] != "open":
            return Ended.parse(raw)
        return Record.parse(raw, running=float(raw.get("lease_until", 0)) > now)

    def _run(
        self,
        name: str,
        job_id: str,
        *arguments: Any,
        keys: Sequence[str] = (),
        waits: Sequence[Wait] = (),
    ) -> list[Any]:
        keys = (names.JOB + job_id, names.OPEN, *names.COUNTED, *keys)
        answer: list[Any] = json.loads(self.call(name, keys, (job_id, *arguments), waits))
        return answer


def _waits(constants: LedgerSettings) -> tuple[Wait, ...]:
    """What to wait for after a job was accepted or ended."""
    waits: list[Wait] = []
    if constants.wait_local_fsync:
        waits.append(("WAITAOF", 1, 0))
    if constants.wait_replicas:
        waits.append(("WAIT", constants.wait_replicas))
    return tuple(waits)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

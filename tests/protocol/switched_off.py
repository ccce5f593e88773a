"""The product with one rule of the job protocol switched off: one Lua text or one method."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from protocol.workers import Run
from services.timed_ledger import TimedLedger

from uploadmill.backends.ledger import gc, proposals
from uploadmill.backends.ledger.decisions import Decision, read_document
from uploadmill.backends.ledger.heal import Healer
from uploadmill.backends.ledger.settle import Settler
from uploadmill.errors import AcceptanceUnknown, ObjectExists, StorageUnavailable
from uploadmill.job import JobResult, JobState, Outcome
from uploadmill.producer import acceptance
from uploadmill.settings import LedgerSettings
from uploadmill.wire import ENVELOPES, UPLOADS
from uploadmill.worker.workspace import original


def _as_proposed(proposal: Outcome) -> Decision:
    return Decision(proposal, proposal.model_dump_json().encode(), created=True)


class DecidedByTheStoreWrittenTo(Settler):
    """A stored job is decided by a create-only result.json in the store of its outputs."""

    def _decide(self, proposal: Outcome) -> Decision:
        if proposal.placed is None:
            return super()._decide(proposal)
        store, key = self.stores.at(proposal.placed), self.stores.result_key(proposal.job.id)
        try:
            store.put(key, proposal.result.model_dump_json().encode(), create_only=True)
        except ObjectExists:
            result = JobResult.model_validate_json(read_document(store, key) or b"")
            proposal = proposal.model_copy(update={"result": result})
        return _as_proposed(proposal)


def undecided(*states: JobState) -> type[Settler]:
    """Ends of these states are written into the record, without an outcome."""

    class Undecided(Settler):
        def _decide(self, proposal: Outcome) -> Decision:
            if proposal.state in states:
                return _as_proposed(proposal)
            return super()._decide(proposal)

    return Undecided


class MissingSourceFails(Settler):
    """A missing source fails the job, without a look for a result that was published."""

    def _stored_before(self, _: Outcome) -> Outcome | None:
        return None


class DiscardsAllItPut(Settler):
    """Who was fenced deletes what it has put, named by the outcome or not."""

    def discard(self, outcome: Outcome, put: Any) -> None:
        nameless = outcome.result.model_copy(update={"outputs": {}})
        super().discard(outcome.model_copy(update={"result": nameless}), put)


class DiscardsWhatIsElsewhere(Settler):
    """Who lost deletes what it put anywhere but where the outcome says, whatever its key."""

    def discard(self, outcome: Outcome, put: Any) -> None:
        for placed, key in put:
            if placed is not outcome.placed:
                with suppress(StorageUnavailable):
                    self.stores.at(placed).delete(key)
        super().discard(outcome, put)


class ResultFirst(Healer):
    """Heal copies ``result.json`` before the outputs."""

    def _bring_home(self, job_id: str, found: Any) -> Any:
        self.copier.copy_result(self.settler.stores.result_key(job_id))
        return super()._bring_home(job_id, found)


class NeverHeals(Healer):
    """What failed over stays where it is."""

    def heal(self, _: str, **__: Any) -> Any:
        return "waiting"


def replaced(name: str, *changes: tuple[str, str]) -> type[TimedLedger]:
    """A ledger with pieces of one Lua text replaced."""

    class Changed(TimedLedger):
        def text(self, asked: str) -> str:
            text = super().text(asked)
            if asked == name:
                for old, new in changes:
                    assert old in text, f"{name}.lua has no {old!r} any more"
                    text = text.replace(old, new)
            return text

    return Changed


class CommitsUnchecked(Run):
    """The commit does not look at the certificate, nor at the pinned file."""

    def _commit(self, bench: Any) -> Any:
        with patch("uploadmill.tasks.commit.check"):
            return super()._commit(bench)

    STEPS = {**Run.STEPS, "commit": _commit}  # noqa: RUF012


class DecidesBeforeTheCopy(Run):
    """Infected bytes are copied to quarantine when the job has ended."""

    def _quarantine(self, error: Any, certificate: Any) -> Any:
        pinned = original(self._record)[0]
        content = (self._current.folder / pinned.name).read_bytes()
        answer = self._settle(proposals.quarantined(self._record, error, certificate))
        self.mill.stores.quarantine.put(f"{self.job_id}/{pinned.sha256}", content)
        return answer


def withdrawing(clients: Any, staged: Any) -> Any:
    """A producer whose accept failed takes its envelope back."""
    try:
        return acceptance.accept(clients, staged)
    except AcceptanceUnknown:
        clients.stores.staging.delete(f"{ENVELOPES}{staged.id}.json")
        raise


def key_without_nonce(job_id: str, nonce: str) -> str:
    return f"{UPLOADS}{job_id}/bytes"


def accepting_old_bytes(clients: Any, staged: Any) -> Any:
    """A producer that does not ask itself how long it took."""
    return acceptance.accept(clients, replace(staged, since=math.inf))


def trusting(*_: Any) -> bool:
    """A joiner that believes every envelope."""
    return True


def outcome_before_envelope(broom: Any, job_id: str, found: list[Any]) -> list[Any]:
    """Collection looks for an outcome first, and for an envelope afterwards."""
    decisions = broom.settler.decisions
    if gc._keeps_bytes(decisions.outcome(job_id), broom.now):
        return []
    envelope = decisions.envelope(job_id)
    return [stat for stat in found if envelope is None or stat.key != envelope.job.staged.key]


def short_tombstones(**_: float) -> LedgerSettings:
    """Outcomes are collected before workspaces; settings would refuse this."""
    changes = {"tombstone_keep": 7200.0, "stage_grace": 3600.0, "keep_rejected": 0.0}
    return LedgerSettings.model_construct(**{**LedgerSettings().model_dump(), **changes})


def without_grace(**_: float) -> LedgerSettings:
    """The secondary's copy goes as soon as the record names the primary."""
    return LedgerSettings(heal_grace=0)


def nobody_reconciles(_: Settler) -> None:
    """It waits for an operator."""

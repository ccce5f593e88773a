"""From a proposal to an ended job: decide, publish, finish, clean up.

Anybody may run this from any point: the outcome is create-only, every action after it can be
repeated, and a run that dies half way is finished by whoever comes next.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from uploadmill.backends.ledger import heal_queue, leftovers, proposals
from uploadmill.backends.ledger.answers import Answer, Reply, Terminal
from uploadmill.backends.ledger.clock import boot_time
from uploadmill.backends.ledger.decisions import Decision, Decisions, read_document
from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.record import Ended, Record
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import (
    JobNotFound,
    LedgerUnavailable,
    ObjectExists,
    ObjectNotFound,
    SourceMissing,
    StorageUnavailable,
)
from uploadmill.job import JobResult, JobState, Outcome, Placement

log = logging.getLogger("uploadmill.settle")


class Settler:
    """Ends jobs. There is no way to a terminal state but through :meth:`settle`."""

    def __init__(self, ledger: Ledger, stores: Stores) -> None:
        self.ledger = ledger
        self.stores = stores
        self.decisions = Decisions(stores.staging)

    def settle(self, proposal: Outcome, put: Sequence[tuple[Placement, str]] = ()) -> Outcome:
        """End a job as *proposal* says, or as it was decided before.

        Args:
            proposal: How this run would end the job.
            put: The outputs this run has put, by store and key.

        Returns:
            The outcome that stands.

        Raises:
            StorageUnavailable: The staging store, or the store that holds the outputs, is out;
                the job stays open.
            LedgerUnavailable: The decision stands; the record follows later.
        """
        began = boot_time()
        decision = self._decide(proposal)
        discarded = self.discard(decision.outcome, put)
        _alarm_if_infected(proposal, decision.outcome)
        # Before the end is written down: nobody heals until then, and then this run may be killed.
        if not discarded or any(role is Placement.SECONDARY for role, _ in put):
            self._have_strays_cleared(decision.outcome)
        self.conclude(decision, began=began)
        return decision.outcome

    def conclude(self, decision: Decision, began: float | None = None) -> None:
        """Do all that follows a decision: publish, finish the record, clean up.

        Args:
            decision: As it stands in the staging store.
            began: By ``CLOCK_BOOTTIME``, a moment before this run asked for the decision.
        """
        location = self.publish(decision, began)
        self._finish(decision, location)
        self._clean_up(decision.outcome)

    def publish(self, decision: Decision, began: float | None = None) -> Placement | None:
        """Make sure that ``result.json`` lies beside the outputs; returns where that is.

        None for a job that has none. *began* is as in :meth:`conclude`.
        """
        outcome = decision.outcome
        job_id = outcome.job.id
        if outcome.placed is None:
            return None
        may_be_healed = outcome.placed is Placement.SECONDARY and not (
            decision.created and self._within_lease(began)
        )
        if may_be_healed and self._primary_has_result(job_id):
            return Placement.PRIMARY
        document = outcome.result.model_dump_json().encode()
        try:
            self.stores.at(outcome.placed).put(
                self.stores.result_key(job_id),
                document,
                content_type="application/json",
                create_only=True,
            )
        except ObjectExists:
            log.debug("result_was_published", extra={"job": job_id})
        return outcome.placed

    def discard(self, outcome: Outcome, put: Sequence[tuple[Placement, str]]) -> bool:
        """Delete what this run put and the outcome does not name, whatever the store.

        By key, not by key and store: a named key may be a healed copy.

        Returns:
            Whether all of that is gone; a store that is out keeps it.
        """
        named, gone = {output.key for output in outcome.result.outputs.values()}, True
        for placed, key in put:
            if key in named:
                continue
            try:
                self.stores.at(placed).delete(key)
            except StorageUnavailable as error:
                extra = {"job": outcome.job.id, "key": key, "reason": str(error)}
                log.warning("output_not_discarded", extra=extra)
                gone = False
        return gone

    def let_go(self, job_id: str, answer: Reply) -> None:
        """See to what a run has put in its commit, and which is in vain if the job has gone on.

        Args:
            job_id: The job.
            answer: The ledger's, when the run gave it back.
        """
        if isinstance(answer, Terminal):
            self._withdraw(answer.outcome)
        elif answer in (Answer("fenced"), Answer("unknown")):
            # Nothing may be deleted yet: it may be what another run is going to name.
            self._have_looked_at(job_id)

    def _withdraw(self, outcome: Outcome) -> None:
        try:
            leftovers.clear(self.stores, outcome.result)
        except StorageUnavailable as error:
            extra = {"job": outcome.job.id, "reason": str(error)}
            log.warning("leftovers_not_cleared", extra=extra)
        self._have_strays_cleared(outcome)

    def _have_looked_at(self, job_id: str) -> None:
        """Have whoever heals first take away what a job's outcome does not name, once it stands."""
        try:
            heal_queue.put(self.ledger, [job_id], 0, only="new")
        except LedgerUnavailable as error:
            # The job ends all the same; ``recover`` finds them on the secondary, ``gc`` the others.
            log.warning("leftovers_not_queued", extra={"job": job_id, "reason": str(error)})

    def _have_strays_cleared(self, outcome: Outcome) -> None:
        """Have outputs taken away that a broken off run has put where the job does not end.

        Also under keys that the outcome names, so nobody may simply delete them; whoever heals
        first makes sure that the primary has everything. One that ends on the secondary comes into
        the queue by that, and once it was healed its copy has a grace.
        """
        if outcome.placed is not Placement.SECONDARY:
            self._have_looked_at(outcome.job.id)

    def cancel(self, job_id: str) -> Outcome:
        """Cancel a job: the outcome says whether it was in time.

        Raises:
            JobNotFound: There is no such job.
            StorageUnavailable: The staging store is out; whoever works on the job will still
                see the wish.
            LedgerUnavailable: Nobody can tell; ask again.
        """
        answer = self.ledger.cancel(job_id)
        if isinstance(answer, Terminal):
            return answer.outcome
        decision = self._cancellation(job_id)
        if decision.created:
            self.conclude(decision)
        return decision.outcome

    def remember(self, decision: Decision) -> Ended:
        """Fill the ledger's cache again from an outcome that was found; nobody is notified."""
        outcome = decision.outcome
        location = outcome.placed
        if location is Placement.SECONDARY and self._primary_has_result(outcome.job.id):
            location = Placement.PRIMARY
        self.ledger.finish(outcome, decision.document, decision.digest, location, notify=False)
        return Ended(outcome, location)

    def _decide(self, proposal: Outcome) -> Decision:
        error = proposal.result.error
        if error is not None and error.code == SourceMissing.code:
            proposal = self._stored_before(proposal) or proposal
        return self.decisions.decide(proposal)

    def _stored_before(self, proposal: Outcome) -> Outcome | None:
        """The staged bytes may be gone because the job was stored, and Redis forgot it."""
        job = proposal.job
        for placed in (Placement.PRIMARY, Placement.SECONDARY):
            document = read_document(self.stores.at(placed), self.stores.result_key(job.id))
            if document is not None:
                result = JobResult.model_validate_json(document)
                return Outcome(job=job, state=JobState.STORED, result=result, placed=placed)
        return None

    def _cancellation(self, job_id: str) -> Decision:
        """Decide that a job is cancelled, or learn that it had ended."""
        record = self.ledger.read(job_id)
        if isinstance(record, Record):
            return self._decide(proposals.cancelled(record.job, self.ledger.constants, record))
        # An envelope goes only after its outcome has come, so this order misses no job.
        envelope = self.decisions.envelope(job_id)
        if envelope is not None:
            return self._decide(proposals.cancelled(envelope.job, self.ledger.constants))
        decision = self.decisions.outcome(job_id)
        if decision is None:
            raise JobNotFound(job_id)
        return decision

    def _within_lease(self, began: float | None) -> bool:
        """Whether so little time has passed that nobody can have healed this job yet."""
        return began is not None and boot_time() - began < self.ledger.constants.lease

    def _primary_has_result(self, job_id: str) -> bool:
        try:
            self.stores.primary.stat(self.stores.result_key(job_id))
        except ObjectNotFound:
            return False
        return True

    def _finish(self, decision: Decision, location: Placement | None) -> None:
        outcome = decision.outcome
        answer = self.ledger.finish(outcome, decision.document, decision.digest, location)
        if answer == "conflict":
            log.critical("two_outcomes_for_one_job", extra={"job": outcome.job.id})

    def _clean_up(self, outcome: Outcome) -> None:
        """Remove what an ended job needs no more; after a fault ``reconcile`` comes by again."""
        done_with = outcome.state in (JobState.STORED, JobState.QUARANTINED)
        try:
            self.decisions.clean(outcome.job.id, staged_bytes=done_with)
        except StorageUnavailable as error:
            log.warning("clean_up_postponed", extra={"job": outcome.job.id, "reason": str(error)})


def _alarm_if_infected(proposal: Outcome, outcome: Outcome) -> None:
    """Somebody has stored, as clean, what this run's scanner found infected."""
    certificate = proposal.result.certificate
    infected = certificate is not None and certificate.verdict == "infected"
    if infected and outcome.state is JobState.STORED:
        log.error("stored_but_found_infected", extra={"job": outcome.job.id})

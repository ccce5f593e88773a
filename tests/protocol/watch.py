"""The promises of the job protocol, looked at after every action."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from protocol.in_vain import InVain, job_of, names

from uploadmill.backends.ledger.names import ENDED, JOB, OPEN
from uploadmill.job import Envelope, JobResult, JobState, Outcome
from uploadmill.wire import ENVELOPES, OUTCOMES

if TYPE_CHECKING:
    from protocol.things import Things

#: What the test's processor writes between the name of the worker and the bytes it was given.
MADE_FROM = b" made this from: "

INFECTED = b"VIRUS"
BAD = b"BAD"
#: Kills the whole worker, without a word; kills the child, whose parent reports it.
POISON = b"POISON"
CRASH = b"CRASH"


class Violation(AssertionError):
    """Raised when a promise is broken; *promise* is its number in docs/design.md's list."""

    def __init__(self, promise: str, job_id: str, what: str) -> None:
        super().__init__(promise, job_id, what)
        self.promise = promise

    def __str__(self) -> str:
        promise, job_id, what = self.args
        return f"{promise}, job {job_id}: {what}"


class Watch:
    """Looks at the ledger and at all stores, and remembers what it has ever seen."""

    def __init__(self, world: Things) -> None:
        self.world = world
        self.envelopes: dict[str, Envelope] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.promised: set[str] = set()
        self._taken_on: dict[str, bytes] = {}
        self._ends: dict[str, tuple[str, str]] = {}
        self._results: dict[str, bytes] = {}
        self._looked_at: set[tuple[str, str, str]] = set()
        self._kept: set[str] = set()
        self.in_vain = InVain(world)
        self._ended: dict[str, tuple[Outcome, str]] = {}

    def look(self, *, ledger: bool = True) -> None:
        """Raise a :class:`Violation` where a promise is broken now.

        Without *ledger* where nothing in Redis can have changed: asking it takes the longest.
        """
        self._read_envelopes()
        self._read_outcomes()
        if ledger:
            self._read_ledger()
        for role in ("primary", "secondary"):
            self._read_outputs(role)
            self._read_results(role)
        self.in_vain.look(self.outcomes)
        self._check_places()
        self._check_bytes()
        self._check_deaths()

    def promise(self, job_id: str, content: bytes | None) -> None:
        """A producer was told that its upload was taken on; None where it is a replay's."""
        self.promised.add(job_id)
        if content is not None and self._taken_on.setdefault(job_id, content) != content:
            raise Violation("I7", job_id, "two different uploads were taken on as one")

    # -- I1: one outcome, whoever tells of it -----------------------------------------------

    def _read_envelopes(self) -> None:
        for key, found in self.world.objects("staging", ENVELOPES):
            job_id = job_of(key)
            if job_id not in self.envelopes:
                self.envelopes[job_id] = Envelope.model_validate_json(found.content)
                replayed = self.envelopes[job_id].job.replay_of
                if replayed is not None:
                    self.world.contents[job_id] = list(self.world.contents[replayed])

    def _read_outcomes(self) -> None:
        for key, found in self.world.objects("staging", OUTCOMES):
            job_id = job_of(key)
            self._agree(job_id, hashlib.sha256(found.content).hexdigest(), "the outcome")
            if job_id not in self.outcomes:
                outcome = Outcome.model_validate_json(found.content)
                self.outcomes[job_id] = outcome
                if self._staged(outcome.job.staged.key):
                    self._kept.add(job_id)
                self._check_reason(outcome)

    def _read_ledger(self) -> None:
        redis = self.world.ledger.redis
        with redis.pipeline(transaction=False) as pipeline:
            jobs = list(self.envelopes)
            for job_id in jobs:
                pipeline.hmget(JOB + job_id, "state", "digest", "location", "outcome")
            pipeline.xrange(ENDED)
            *records, told = pipeline.execute()
        self._ended = {}
        for job_id, (state, digest, location, document) in zip(jobs, records, strict=True):
            if state not in (None, "open"):
                self._agree(job_id, digest, "the record")
                self._ended[job_id] = (Outcome.model_validate_json(document), location)
        for _, entry in told:
            self._agree(entry["id"], entry["digest"], "a notice")

    def _agree(self, job_id: str, digest: str, where: str) -> None:
        first, told_by = self._ends.setdefault(job_id, (digest, where))
        if first != digest:
            raise Violation("I1", job_id, f"{told_by} and {where} tell of different ends")

    def _read_results(self, role: str) -> None:
        store = self.world.store(role)
        for key, found in self.world.objects(role, self.world.prefix):
            if not key.endswith("/result.json"):
                continue
            job_id = key.split("/")[-2]
            first = self._results.setdefault(job_id, found.content)
            if first != found.content:
                raise Violation("I1", job_id, "two results were published")
            result = JobResult.model_validate_json(found.content)
            ended = self._ended.get(job_id)
            if ended and ended[0].state is not JobState.STORED:
                raise Violation("I1", job_id, f"ended {ended[0].state}, and a result is published")
            self._check_outputs(store, job_id, result)

    # -- I3: nothing but what was found clean -----------------------------------------------

    def _read_outputs(self, role: str) -> None:
        for key, found in self.world.objects(role, self.world.prefix):
            seen = (role, key, found.stat.etag or "")
            if key.endswith("/result.json") or seen in self._looked_at:
                continue
            self._looked_at.add(seen)
            source = found.content.partition(MADE_FROM)[2]
            sha256 = hashlib.sha256(source).hexdigest()
            if INFECTED in source or sha256 not in self.world.scanner.cleared:
                raise Violation("I3", key, "bytes that were not found clean are in the store")

    # -- I4: the outputs are where record and outcome say -----------------------------------

    def _check_places(self) -> None:
        for job_id, outcome in self.outcomes.items():
            if outcome.placed is not None and self.world.object("staging", _outcome_key(job_id)):
                self._check_outputs(self._home(outcome), job_id, outcome.result)
        for job_id, (outcome, location) in self._ended.items():
            if location:
                store = self.world.store(location)
                if f"{self.world.prefix}{job_id}/result.json" not in store._objects:
                    raise Violation("I4", job_id, f"no result.json in the {location}")
                self._check_outputs(store, job_id, outcome.result)

    def _home(self, outcome: Outcome) -> Any:
        """The store that has the outputs: heal may have brought them to the primary."""
        primary = self.world.stores.primary
        healed = f"{self.world.prefix}{outcome.job.id}/result.json" in primary._objects
        return primary if healed else self.world.stores.at(outcome.placed)

    def _check_outputs(self, store: Any, job_id: str, result: JobResult) -> None:
        for output in result.outputs.values():
            found = store._objects.get(output.key)
            if found is None or found.facts.sha256 != output.sha256:
                raise Violation("I4", job_id, f"{output.key} is not in the {store.name}")

    # -- I5: staged bytes go only after the end ---------------------------------------------

    def _check_bytes(self) -> None:
        for job_id in self.promised - set(self._ends):
            if not self._staged(self.envelopes[job_id].job.staged.key):
                raise Violation("I5", job_id, "the staged bytes of an open job are gone")
        for job_id, outcome in self.outcomes.items():
            if not self.world.object("staging", _outcome_key(job_id)):
                continue  # long ago
            quarantined = outcome.state is JobState.QUARANTINED
            if quarantined and not self.world.objects("quarantine", f"{job_id}/"):
                raise Violation("I5", job_id, "decided to be quarantined before the copy was made")
            until = outcome.keep_until
            kept = job_id in self._kept and until is not None and until > self.world.now()
            if kept and not self._staged(outcome.job.staged.key):
                raise Violation("I5", job_id, f"the staged bytes are gone before {until}")

    def _staged(self, key: str) -> bool:
        return self.world.object("staging", key) is not None

    # -- no job ends in a way that nobody gave a reason for ---------------------------------

    def _check_reason(self, outcome: Outcome) -> None:
        job_id, state = outcome.job.id, outcome.state
        given = self.world.contents.get(job_id, [])
        fine = {
            JobState.STORED: True,
            JobState.REJECTED: job_id in self.world.overwritten or any(BAD in c for c in given),
            JobState.QUARANTINED: any(INFECTED in content for content in given),
            JobState.CANCELLED: job_id in self.world.cancelled,
            JobState.FAILED: state is JobState.FAILED and self._may_fail(outcome),
        }
        if not fine[state]:
            code = outcome.result.error.code if outcome.result.error else "no error"
            raise Violation("I8", job_id, f"ended {state} ({code}) without a reason")

    def _may_fail(self, outcome: Outcome) -> bool:
        job_id, error = outcome.job.id, outcome.result.error
        if error is None:
            return False
        if error.code == "poison":
            return self.world.may_be_poison(job_id)
        if error.code == "source_missing":
            return job_id not in self.promised and not self._staged(outcome.job.staged.key)
        if error.code == "step_timeout":
            return job_id in self.world.timed_out
        late = self.world.accepted_for(job_id) > outcome.job.deadline
        return late and (error.code == "deadline" or error.code.endswith("_unavailable"))

    def _check_deaths(self) -> None:
        """I8: a step that kills those who run it is not run for ever."""
        world, constants = self.world, self.world.ledger.constants
        for job_id, given in world.contents.items():
            limits = {POISON: constants.lost_max, CRASH: constants.crash_max}
            limit = max((limits[c] for c in given if c in limits), default=None)
            if limit is None:
                continue
            runs = [worker for worker in world.workers if worker.job_id == job_id]
            died = sum("stamp" in worker.ran for worker in runs)
            # Redis fell back, or was emptied: it forgot what it had counted.
            if died > limit * (1 + world.forgot) + sum(worker.was_frozen for worker in runs):
                raise Violation("I8", job_id, f"killed {died} workers")

    # -- when all is over -------------------------------------------------------------------

    def settled(self) -> None:
        """I2, I6, I7: all that was accepted has ended, and nothing is left of it but its end."""
        for job_id in sorted({*self.envelopes, *self.promised}):
            if job_id not in self._ends:
                promise = "I7" if job_id in self.promised else "I2"
                raise Violation(promise, job_id, "has not ended")
        left = [key for key, _ in self.world.objects("staging", ENVELOPES)]
        left += self.world.ledger.redis.zrange(OPEN, 0, -1)
        # What a producer staged in vain is left to the collection.
        left += [
            outcome.job.staged.key
            for outcome in self.outcomes.values()
            if outcome.keep_until is None and self._staged(outcome.job.staged.key)
        ]
        if left:
            raise Violation("I6", "all", f"left behind: {left}")

    def healed(self, queue: list[str]) -> None:
        """I6: nothing is left where it does not belong, and nobody is to look any more."""
        stored = {
            output.key
            for outcome in self.outcomes.values()
            for output in outcome.result.outputs.values()
        }
        left = [
            key
            for key, _ in self.world.objects("secondary", "")
            if key in stored or key.endswith("/result.json")
        ]
        left += self.in_vain.left(self.outcomes)
        if left or queue:
            raise Violation("I6", "all", f"not healed: {left}, to be healed: {queue}")

    def collected(self, workspaces: list[str]) -> None:
        """I6: after everything's time only what an end names is left, and what is infected."""
        left = [*workspaces]
        left += [key for key, _ in self.world.objects("staging", "")]
        for role in ("primary", "secondary"):
            for key, _ in self.world.objects(role, ""):
                if not names(self.outcomes[job_of(key)], key):
                    left.append(key)
        for key, _ in self.world.objects("quarantine", ""):
            if self.outcomes[key.split("/")[0]].state not in (
                JobState.QUARANTINED,
                JobState.STORED,
            ):
                left.append(key)
        if left:
            raise Violation("I6", "all", f"never collected: {left}")


def _outcome_key(job_id: str) -> str:
    return f"{OUTCOMES}{job_id}.json"

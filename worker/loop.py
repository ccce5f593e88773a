"""The loop: one process works on one job, step after step, until the ledger says otherwise.

The ledger's answers drive it; docs/design.md ("The job protocol") has the table. Steps raise,
and only here is decided what that means for the job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import cast

from celery import Task
from celery.exceptions import SoftTimeLimitExceeded

from uploadmill.backends.ledger import proposals
from uploadmill.backends.ledger.answers import Answer, End, Go, Terminal
from uploadmill.backends.ledger.record import Note, Record
from uploadmill.errors import (
    InfectedUpload,
    InvalidSettings,
    LedgerUnavailable,
    ObjectExists,
    SourceChanged,
    SourceMissing,
    StepFailed,
    TransientError,
    UnknownPipeline,
    UnknownStep,
    UnscannableUpload,
    UploadmillError,
    UploadRejected,
    WorkspaceUnavailable,
)
from uploadmill.ids import new_nonce
from uploadmill.job import ErrorData, JobState, Outcome, ScanCertificate
from uploadmill.pipeline import Commit, Pin, Plan
from uploadmill.tasks.work import StepResult, work_files
from uploadmill.worker.patience import persist, retry_delay
from uploadmill.worker.running import RUNNING
from uploadmill.worker.shared import STOPPING
from uploadmill.worker.stepping import note_of, trace_step
from uploadmill.worker.wiring import CurrentStep, UploadmillApp
from uploadmill.worker.workspace import original

log = logging.getLogger("uploadmill.job")

Reply = Go | End | Terminal | Answer

#: What another worker can do, what passes, and what the operator mends: no job pays for it.
UNCOUNTED = (TransientError, InvalidSettings, UnknownPipeline, UnknownStep)

#: Seconds that reading all of a workspace, or copying an upload to quarantine, may take.
MOVING = 300.0


class JobRun:
    """One run of this process on one job.

    Args:
        app: The worker's application.
        task: The outer task, whose request the steps are traced under.
        job_id: The job to work on.
    """

    def __init__(self, app: UploadmillApp, task: Task, job_id: str) -> None:  # type: ignore[type-arg]
        self.app = app
        self.mill = app.mill
        self.ledger = app.mill.ledger
        self.request = task.request
        self.job_id = job_id
        self.events = app.step_events(task.request.hostname or "")
        self.token = ""

    def run(self) -> None:
        """Claim the job, run its steps, end it or give it back."""
        try:
            answer = self._claim()
            while isinstance(answer, Go):
                answer = self._go(answer)
            self._stop(answer)
        except (SystemExit, SoftTimeLimitExceeded):
            # A job beyond the hard limit is reported as a crash: given back it would never count.
            if not RUNNING.condemned:
                self._release(error=None)
            raise
        except Exception as error:
            # A mistake of ours outside any step: counted, so that it cannot go on for ever.
            step = self.mill.current.record.step if self.mill.current else Pin.step
            self._release(error=StepFailed(step, type(error).__name__))
            raise
        finally:
            self.mill.lease.drop()
            self.mill.current = None
            RUNNING.clear()
            self.events.flush()

    # -- the ledger's answers ---------------------------------------------------------------

    def _claim(self) -> Reply:
        nonce = new_nonce()
        try:
            node = self.mill.workspaces.node
        except OSError as error:
            # Another node may have room; the sweeper sends the job round.
            log.error("no_workspace", extra={"job": self.job_id, "reason": error.strerror})  # noqa: TRY400
            return Answer("wait")
        answer = self._call(lambda: self.ledger.claim(self.job_id, node, nonce))
        if isinstance(answer, Go | End) and answer.record is not None:
            self.token = answer.token
            record = replace(answer.record, step=_step(answer))
            folder = self.mill.workspaces.folder(record)
            self.mill.current = CurrentStep(record, answer.token, folder)
            RUNNING.note(self.job_id, self.token, record.step)
            self._close_rows(record)
        return self._enter_workspace(answer) if isinstance(answer, Go) else answer

    def _enter_workspace(self, go: Go) -> Reply:
        """Go on only where the earlier steps' files are whole; from ``pin`` otherwise."""
        self.mill.lease.hold(self.job_id, go.token, go.step, MOVING)
        try:
            self.mill.workspaces.make(self._record)
        except OSError as error:
            return self._on_error(WorkspaceUnavailable(f"it cannot be made: {error.strerror}"))
        whole = self.mill.workspaces.holds(self._record)
        return go if whole else self._release(error=None, restart=True)

    def _close_rows(self, record: Record) -> None:
        """Report again what earlier runs did: a killed one took its unsent events with it."""
        for step, note in record.notes.items():
            self.events.was_done(self.job_id, step, note.receipt.ms / 1000)

    def _go(self, go: Go) -> Reply:
        """Run the step that the ledger named, and hand in what came of it."""
        self._enter(go)
        if STOPPING:
            return self._release(error=None)
        try:
            plan = self._plan()
            limit = float(str(plan[go.step].options["time_limit"]))
            self.mill.lease.hold(self.job_id, go.token, go.step, limit)
            began = time.perf_counter()
            result = self._trace(go.step)
            note = note_of(self._record, result, time.perf_counter() - began)
            return self._hand_in(go.step, result, note)
        except UploadmillError as error:
            return self._on_error(error)

    def _enter(self, go: Go) -> None:
        """This process holds *go*'s token and stands before its step."""
        self.token = self._current.token = go.token
        if go.step != self._record.step:
            self._current.record = replace(self._record, step=go.step)

    def _stop(self, answer: Reply) -> None:
        """The ledger has no step for us."""
        if isinstance(answer, End) and self.mill.current is not None:
            self.events.was_given_up(self.job_id, self._record.step, answer.ending)
            outcome = proposals.from_ending(answer.ending, self._record, self.ledger.constants)
            self._settle(outcome)
        elif isinstance(answer, Terminal):
            self.mill.workspaces.remove(self.job_id)
        elif answer == Answer("changed"):
            self._on_error(SourceChanged("the staged bytes are not those pinned before"))
        elif answer == Answer("refused"):
            log.error("certificate_refused", extra={"job": self.job_id})
            error = StepFailed(self._record.step, "the certificate does not fit the bytes")
            self._release(error=error, restart=True)

    def _trace(self, step: str) -> StepResult:
        return trace_step(self.app, self.request, self.events, self.job_id, step)

    def _hand_in(self, step: str, result: StepResult, note: Note) -> Reply:
        """A step is done: the last one ends the job, any other is completed in the ledger."""
        record = self._record
        if step == Commit.step and result.placed is not None:
            outcome = proposals.stored(record, result.outputs, result.placed, note)
            return self._settle(outcome, result)
        made = work_files(result) or ()
        nonce = new_nonce()
        answer = self._call(
            lambda: self.ledger.complete(
                self.job_id,
                self.token,
                step,
                nonce,
                note=note,
                made=made,
                plan=record.plan,
                certificate=result.certificate,
                src_sha256=result.src_sha256 or record.src_sha256,
            )
        )
        if isinstance(answer, Go | End):
            self._current.record = replace(
                record,
                step=answer.step if isinstance(answer, Go) else step,
                files={**record.files, step: made},
                notes={**record.notes, step: note},
                certificate=result.certificate or record.certificate,
                src_sha256=result.src_sha256 or record.src_sha256,
            )
            self.token = answer.token
            RUNNING.note(self.job_id, self.token, self._record.step)
        return answer

    def _plan(self) -> Plan:
        """The job's plan, spelled out by the first run of ``pin``."""
        record = self._record
        if record.plan is None:
            plan = self.mill.plan(record.job.pipeline)
            self._current.record = replace(record, plan=plan)
            return plan
        return record.plan

    # -- what an error means for the job ----------------------------------------------------

    def _on_error(self, error: UploadmillError) -> Reply:
        """The content's fault ends the job, the world's makes it wait, ours is counted."""
        data = proposals.error_data(error, self._record.step)
        fields = {"job": self.job_id, "step": data.step, "code": data.code, "reason": data.message}
        log.info("step_raised", extra=fields)
        match error:
            case UploadRejected():
                return self._end_badly(JobState.REJECTED, data)
            case InfectedUpload() | UnscannableUpload():
                return self._quarantine(data, cast("ScanCertificate | None", error.certificate))
            case SourceMissing():
                return self._end_badly(JobState.FAILED, data)
            case StepFailed() if not self._current.folder.is_dir():
                # This process stood still, and its workspace was cleared: nobody's fault.
                return self._release(error=None, restart=True)
            case _:
                return self._release(error=error)

    def _end_badly(self, state: JobState, error: ErrorData) -> Reply:
        constants, record = self.ledger.constants, self._record
        return self._settle(proposals.ended_badly(record.job, state, constants, error, record))

    def _quarantine(self, error: ErrorData, certificate: ScanCertificate | None) -> Reply:
        """Keep the pinned bytes apart first; only then decide."""
        record = self._record
        pinned = original(record)[0]
        # Copying is no part of the step that found something: it must not run out of its time.
        self.mill.lease.hold(self.job_id, self.token, record.step, MOVING)
        try:
            with suppress(ObjectExists):
                self.mill.stores.quarantine.put(
                    f"{self.job_id}/{pinned.sha256}",
                    self._current.folder / pinned.name,
                    content_type="application/octet-stream",
                    create_only=True,
                    sha256=pinned.sha256,
                )
        except FileNotFoundError:  # this process stood still, and its workspace was cleared
            return self._release(error=None, restart=True)
        except UploadmillError as failure:
            return self._release(error=failure)
        return self._settle(proposals.quarantined(record, error, certificate))

    def _settle(self, proposal: Outcome, result: StepResult | None = None) -> Reply:
        """End the job, or give it back where a store it needs for that does not answer."""
        try:
            put = result.put if result else ()
            outcome = self.mill.settler.settle(proposal, put)
        except LedgerUnavailable:
            log.warning("record_follows_later", extra={"job": self.job_id})
            return Answer("ok")
        except UploadmillError as error:
            return self._release(error=error)
        self.mill.workspaces.remove(self.job_id)
        # A line for each step would cost more than the ledger does: here are all their timings.
        steps = ",".join(f"{done.step}:{done.ms:g}" for done in outcome.result.receipts)
        state = outcome.state.value
        log.info("job_ended", extra={"job": self.job_id, "state": state, "steps_ms": steps})
        return Answer("ok")

    def _release(self, *, error: UploadmillError | None, restart: bool = False) -> Reply:
        """Give the job back; without an error it goes on at once, elsewhere or here."""
        if not self.token or self.mill.current is None:
            return Answer("ok")
        record = self._record
        data = proposals.error_data(error, record.step) if error else None
        counted = error is not None and not isinstance(error, UNCOUNTED)
        delay = retry_delay(record, self.ledger.constants) if error else 0.0
        fields = {"job": self.job_id, "step": record.step, "delay": delay}
        if isinstance(error, InvalidSettings):
            # It will not mend itself, and each of these lines is a job that waits for somebody.
            log.error("settings_unusable", extra={**fields, "reason": str(error)})
        else:
            log.info("job_released", extra=fields)
        answer = self._call(
            lambda: self.ledger.release(
                self.job_id, self.token, delay=delay, counted=counted, error=data, restart=restart
            )
        )
        self.token = ""
        if record.step == Commit.step:
            self.mill.settler.let_go(self.job_id, answer)
        return Answer("ok") if isinstance(answer, Go | End) else answer

    def _call(self, call: Callable[[], Reply]) -> Reply:
        return persist(call, self.job_id, self.ledger.constants.lease)

    @property
    def _current(self) -> CurrentStep:
        if self.mill.current is None:
            raise LookupError("no job was claimed")
        return self.mill.current

    @property
    def _record(self) -> Record:
        return self._current.record


def _step(answer: Go | End) -> str:
    """The step that the answer is about."""
    if isinstance(answer, Go):
        return answer.step
    return answer.record.step if answer.record else Pin.step

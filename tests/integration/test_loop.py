"""The loop: what each error, answer and outage means for the job."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time

import pytest
from services.memory_stores import MoodyStorage
from services.one_process import TEXT, clean, one_process
from services.timed_ledger import OTHER_NODE, OTHER_SHA256, brought_to, claimed, handed_in
from services.waiting import eventually

from uploadmill.backends.ledger.reconcile import reconcile
from uploadmill.backends.ledger.settle import Settler
from uploadmill.errors import (
    CorruptUpload,
    InfectedUpload,
    IntegrityError,
    InvalidSettings,
    LedgerUnavailable,
    MemoryLimitExceeded,
    PixelLimitExceeded,
    ScannerUnavailable,
    SizeLimitExceeded,
    SourceChanged,
    SourceMissing,
    StepFailed,
    StorageUnavailable,
    TimeLimitExceeded,
    UnknownStep,
    UnscannableUpload,
    UnsupportedMedia,
    UploadRejected,
    WorkspaceUnavailable,
)
from uploadmill.job import JobState, NotScanned, Placement
from uploadmill.tasks import extract_metadata as extract_metadata_module
from uploadmill.tasks import validate as validate_module
from uploadmill.worker.lease import EXIT_STEP_TIMEOUT
from uploadmill.worker.loop import RUNNING, STOPPING
from uploadmill.worker.workspace import Workspaces

DOCUMENT = ["pin", "validate", "scan", "extract_metadata", "commit"]


@pytest.fixture
def process(redis_url, tmp_path, monkeypatch):
    with one_process(redis_url, tmp_path / "node", monkeypatch) as process:
        yield process


@pytest.fixture
def hasty(redis_url, tmp_path, monkeypatch):
    """A process whose leases last a moment, by its own clock."""
    with one_process(redis_url, tmp_path / "node", monkeypatch, lease=0.3) as process:
        yield process


@pytest.fixture
def short(redis_url, tmp_path, monkeypatch):
    """A process whose leases, and the scan step, last a moment."""
    validate = {"step": "validate", "types": ["text/plain"]}
    steps = [validate, {"step": "scan", "time_limit": 0.2}]
    with one_process(
        redis_url, tmp_path / "node", monkeypatch, {"document": {"steps": steps}}, lease=0.3
    ) as process:
        yield process


@pytest.fixture
def in_validate(monkeypatch):
    """Do something in the function of the validate step, before it does its work."""

    def install(act):
        function = validate_module.validate

        def replaced(*args):
            act()
            return function(*args)

        monkeypatch.setattr(validate_module, "validate", replaced)
        return lambda: monkeypatch.setattr(validate_module, "validate", function)

    return install


def renewed(process, job) -> bool:
    """Let a moment pass; whether the job's lease is renewed then."""
    before = int(process.ledger.field(job, "lease_until"))
    process.ledger.pass_time(0.01)
    return eventually(lambda: int(process.ledger.field(job, "lease_until")) > before)


def raising(error):
    def act(*_args, **_options):
        raise error

    return act


def infected(source):
    return replaced_verdict(source, verdict="infected", signature="Eicar-Test-Signature")


def unscannable(source):
    return replaced_verdict(source, verdict="not_scanned", reason=NotScanned.LIMIT_EXCEEDED)


def replaced_verdict(source, **changes):
    return clean(source).model_copy(update=changes)


def test_a_job_goes_through_all_its_steps_and_leaves_nothing_behind(process):
    job = process.enqueue()

    process.run(job)

    assert (JobState.STORED, None) == process.ended(job)
    result = process.ledger.read(job.id).outcome.result
    assert DOCUMENT == [receipt.step for receipt in result.receipts]
    (output,) = result.outputs.values()
    assert {output.key, f"media/{job.id}/result.json"} == process.stores.primary.keys()
    assert {f"outcomes/{job.id}.json"} == process.stores.staging.keys()
    assert [] == process.folders(job)
    assert process.app.mill.current is None


def test_the_log_has_one_line_of_the_end_with_every_step_s_time(process, caplog):
    caplog.set_level("INFO", "uploadmill.job")
    job = process.enqueue()

    process.run(job)

    (line,) = [record for record in caplog.records if "job_ended" == record.message]
    assert (job.id, "stored") == (line.job, line.state)
    steps, times = zip(*(step.split(":") for step in line.steps_ms.split(",")), strict=True)
    assert DOCUMENT == list(steps)
    assert all(float(ms) > 0 for ms in times)


@pytest.mark.parametrize(
    "error",
    [
        UploadRejected("a processor of your own says no"),
        UnsupportedMedia("no"),
        CorruptUpload("no"),
        SourceChanged("no"),
        SizeLimitExceeded(1, 2),
        PixelLimitExceeded(1, 2),
        TimeLimitExceeded(1, 2),
        MemoryLimitExceeded(1, 2),
    ],
    ids=lambda error: error.code,
)
def test_content_at_fault_is_rejected_at_once_and_its_bytes_kept(process, in_validate, error):
    in_validate(raising(error))
    job = process.enqueue()

    process.run(job)

    assert (JobState.REJECTED, error.code) == process.ended(job)
    assert {job.staged.key, f"outcomes/{job.id}.json"} == process.stores.staging.keys()
    assert set() == process.stores.primary.keys()


@pytest.mark.parametrize(
    ("verdict", "code"), [(infected, "infected_upload"), (unscannable, "unscannable_upload")]
)
def test_what_is_infected_or_unscannable_is_quarantined(process, verdict, code):
    process.scanner.verdict = verdict
    job = process.enqueue()

    process.run(job)

    assert (JobState.QUARANTINED, code) == process.ended(job)
    certificate = process.ledger.read(job.id).outcome.result.certificate
    assert {f"{job.id}/{certificate.sha256}"} == process.stores.quarantine.keys()
    assert set() == process.stores.primary.keys() | process.stores.secondary.keys()
    assert {f"outcomes/{job.id}.json"} == process.stores.staging.keys()


@pytest.mark.parametrize("error", [InfectedUpload("X"), UnscannableUpload("encrypted")])
def test_a_processor_of_your_own_may_quarantine_too(process, in_validate, error):
    in_validate(raising(error))
    job = process.enqueue()

    process.run(job)

    assert (JobState.QUARANTINED, error.code) == process.ended(job)
    assert 1 == len(process.stores.quarantine.keys())


def test_staged_bytes_that_are_gone_fail_the_job(process):
    job = process.enqueue()
    process.stores.staging.delete(job.staged.key)

    process.run(job)

    assert (JobState.FAILED, SourceMissing.code) == process.ended(job)


@pytest.mark.parametrize(
    "error",
    [
        StorageUnavailable("primary", "out"),
        ScannerUnavailable("no_reply"),
        LedgerUnavailable("out"),
        WorkspaceUnavailable("full"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        UnknownStep("validate"),
        InvalidSettings("a key file is gone, which its operator puts back"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_makes_the_job_wait_and_never_counts(process, in_validate, error):
    mend = in_validate(raising(error))
    job = process.enqueue()

    # However often it is tried ...
    for _ in range(process.ledger.constants.attempts_max + 1):
        process.run_later(job)
        assert "validate" == process.open(job).step
        assert process.waits(job) >= process.ledger.constants.retry_delay / 2
    assert 0 == process.attempts(job, "validate")
    assert not process.decided(job)

    # ... the job is stored when it is over, and says nothing of it.
    mend()
    process.run_later(job)
    assert (JobState.STORED, None) == process.ended(job)


@pytest.mark.parametrize(("age", "delay"), [(10, 5), (600, 60), (36_000, 300)])
def test_an_old_job_waits_longer_than_a_new_one_but_not_for_ever(process, in_validate, age, delay):
    in_validate(raising(StorageUnavailable("primary", "out")))
    job = process.enqueue()
    accepted_at = int((time.time() - age) * 1000)
    process.ledger.redis.hset(f"um:job:{job.id}", "accepted_at", accepted_at)

    process.run(job)

    assert 0.49 * delay <= process.waits(job) <= 1.51 * delay


@pytest.mark.parametrize(
    "error",
    [
        StepFailed("validate", "broke"),
        IntegrityError("primary", "a", "other bytes"),
        ValueError("a mistake of ours"),
        MemoryError(),
        OSError(errno.ENOENT, "No such file"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_our_own_fault_is_tried_a_few_times_and_then_fails_the_job(process, in_validate, error):
    in_validate(raising(error))
    job = process.enqueue()

    for attempt in range(1, process.ledger.constants.attempts_max + 1):
        process.run_later(job)
        assert attempt == process.attempts(job, "validate")
        assert process.waits(job) > 0
    process.run_later(job)

    state, code = process.ended(job)
    assert JobState.FAILED == state
    assert getattr(error, "code", "step_failed") == code
    assert job.staged.key in process.staged


def test_a_message_of_ours_never_repeats_what_a_stranger_s_error_says(process, in_validate):
    in_validate(raising(ValueError("https://user:secret@example.com")))
    job = process.enqueue()

    process.run(job)

    assert "secret" not in process.open(job).error.message


def test_a_scanner_without_an_answer_makes_the_job_wait(process):
    process.scanner.verdict = lambda source: replaced_verdict(
        source, verdict="not_scanned", reason=NotScanned.NO_REPLY
    )
    job = process.enqueue()

    process.run(job)

    assert ("scan", "scanner_unavailable") == (
        process.open(job).step,
        process.open(job).error.code,
    )
    assert 0 == process.attempts(job, "scan")


def test_a_certificate_about_other_bytes_starts_the_job_over_and_counts(process):
    process.scanner.verdict = lambda source: replaced_verdict(source, sha256=OTHER_SHA256)
    job = process.enqueue()

    process.run(job)

    assert "pin" == process.open(job).step
    assert 1 == process.attempts(job, "scan")
    assert set() == process.stores.primary.keys()


def test_staged_bytes_that_differ_from_those_pinned_before_are_rejected(process, in_validate):
    # Given a store without etags, a job that was pinned once, and bytes overwritten since
    in_validate(raising(ScannerUnavailable("no_reply")))
    job = process.enqueue()
    process.run(job)
    process.stores.staging.put(job.staged.key, TEXT[::-1])
    unbound = job.staged.model_copy(update={"etag": None})
    document = job.model_copy(update={"staged": unbound}).model_dump_json()
    process.ledger.redis.hset(f"um:job:{job.id}", "doc", document)
    # When its workspace is lost, and it is pinned again
    shutil.rmtree(process.workspace / "jobs")
    process.run_later(job)
    process.run_later(job)

    assert (JobState.REJECTED, "source_changed") == process.ended(job)


def test_a_workspace_cleared_under_a_step_starts_the_job_over_and_does_not_count(
    process, in_validate
):
    job = process.enqueue()
    mend = in_validate(lambda: shutil.rmtree(process.app.mill.current.folder))

    process.run(job)

    assert "pin" == process.open(job).step
    assert 0 == process.attempts(job, "validate")
    mend()
    process.run_later(job)
    assert (JobState.STORED, None) == process.ended(job)


def test_a_torn_file_in_the_workspace_starts_the_job_over_and_does_not_count(process, in_validate):
    mend = in_validate(raising(ScannerUnavailable("no_reply")))
    job = process.enqueue()
    process.run(job)
    (folder,) = process.folders(job)
    (pinned,) = folder.iterdir()
    pinned.write_bytes(pinned.read_bytes()[:-1])
    mend()

    process.run_later(job)

    assert "pin" == process.open(job).step
    assert process.waits(job) <= 0
    assert 0 == process.attempts(job, "pin") == process.attempts(job, "validate")
    process.run(job)
    assert (JobState.STORED, None) == process.ended(job)


def test_a_workspace_that_cannot_be_made_makes_the_job_wait(process):
    job = process.enqueue()
    node = process.app.mill.workspaces.node
    shutil.rmtree(process.workspace / "jobs")
    (process.workspace / "jobs").write_text("no folder")

    process.run(job)

    assert "workspace_unavailable" == process.open(job).error.code
    assert (0, True) == (process.attempts(job, "pin"), process.waits(job) > 0)
    (process.workspace / "jobs").unlink()
    process.run_later(job)
    assert (JobState.STORED, None) == process.ended(job)
    assert node == process.app.mill.workspaces.node


def test_a_node_without_a_root_for_workspaces_leaves_the_job_to_others(process):
    job = process.enqueue()
    process.workspace.write_text("no folder")

    process.run(job)

    assert "pin" == process.open(job).step
    assert (0, "") == (process.attempts(job, "pin"), process.ledger.field(job, "token"))
    process.workspace.unlink()
    process.run(job)
    assert (JobState.STORED, None) == process.ended(job)


def test_a_run_that_was_taken_over_drops_what_it_has_and_deletes_nothing(process, in_validate):
    # Given a run that stands still for longer than its lease, while another node takes the job
    job = process.enqueue()
    taken = []

    def stand_still():
        process.ledger.pass_time(process.ledger.constants.lease + 1)
        taken.append(claimed(process.ledger, job, OTHER_NODE))

    in_validate(stand_still)
    process.run(job)

    # Then it has ended nothing, and the other one goes on
    assert not process.decided(job)
    assert job.staged.key in process.staged
    assert "pin" == taken[0].step
    sha256 = hashlib.sha256(TEXT).hexdigest()
    answer = handed_in(process.ledger, job, taken[0].token, "pin", src_sha256=sha256)
    assert "validate" == answer.step


def test_a_run_that_was_fenced_at_commit_leaves_the_outputs_where_they_are(process, monkeypatch):
    job = process.enqueue()
    put = MoodyStorage.put

    def taken_over(storage, key, *args, **kwargs):
        stat = put(storage, key, *args, **kwargs)
        if storage is process.stores.primary and "result.json" not in key:
            process.ledger.pass_time(process.ledger.constants.lease + 1)
            claimed(process.ledger, job)
        return stat

    monkeypatch.setattr(MoodyStorage, "put", taken_over)
    process.run(job)

    # It decides all the same: the outcome is create-only, and its outputs are in place.
    assert (JobState.STORED, None) == process.ended(job)
    assert 2 == len(process.stores.primary.keys())


def test_a_job_that_ended_meanwhile_takes_its_workspace_along(process, in_validate):
    mend = in_validate(raising(ScannerUnavailable("no_reply")))
    job = process.enqueue()
    process.run(job)
    assert 1 == len(process.folders(job))
    Settler(process.ledger, process.stores).cancel(job.id)
    mend()

    process.run(job)

    assert (JobState.CANCELLED, None) == process.ended(job)
    assert [] == process.folders(job)


def test_a_job_cancelled_in_mid_run_is_ended_by_the_run(process, in_validate):
    job = process.enqueue()
    in_validate(lambda: process.ledger.cancel(job.id))

    process.run(job)

    assert (JobState.CANCELLED, None) == process.ended(job)
    assert set() == process.stores.primary.keys()


def test_a_deadline_that_passes_in_an_outage_fails_under_the_outage_s_name(process, in_validate):
    in_validate(raising(ScannerUnavailable("no_reply")))
    job = process.enqueue()
    process.run(job)
    process.ledger.pass_time(job.deadline + 1)

    process.run(job)

    assert (JobState.FAILED, "scanner_unavailable") == process.ended(job)


def test_with_both_output_stores_out_the_job_waits(process):
    process.stores.primary.full = process.stores.secondary.full = True
    job = process.enqueue()

    process.run(job)

    assert ("commit", "storage_unavailable") == (
        process.open(job).step,
        process.open(job).error.code,
    )
    assert 0 == process.attempts(job, "commit")
    process.stores.secondary.full = False
    process.run_later(job)
    assert Placement.SECONDARY == process.ledger.read(job.id).location


def test_a_slow_copy_to_quarantine_is_not_the_scan_s_time(short, monkeypatch):
    short.scanner.verdict = infected
    job = short.enqueue()
    put = MoodyStorage.put

    def slowly(storage, *args, **kwargs):
        # The keeper has the lease renewed each tenth of a second: it looks on past the scan's time.
        kept = storage is not short.stores.quarantine or all(renewed(short, job) for _ in range(3))
        assert kept
        return put(storage, *args, **kwargs)

    monkeypatch.setattr(MoodyStorage, "put", slowly)
    short.run(job)

    assert (JobState.QUARANTINED, "infected_upload") == short.ended(job)
    assert [] == short.exits


def test_a_scan_over_its_limit_ends_the_process_and_counts(short):
    short.scanner.verdict = lambda source: eventually(lambda: short.exits) and clean(source)
    job = short.enqueue()

    short.run(job)

    assert [EXIT_STEP_TIMEOUT] == short.exits
    assert (1, "step_timeout") == (short.attempts(job, "scan"), short.open(job).error.code)


def test_the_lease_is_kept_while_a_large_workspace_is_looked_through(hasty, monkeypatch):
    holds, lives = Workspaces.holds, []

    def slowly(workspaces, record):
        lives.append(renewed(hasty, job))
        return holds(workspaces, record)

    monkeypatch.setattr(Workspaces, "holds", slowly)
    job = hasty.enqueue()

    hasty.run(job)

    assert [True] == lives
    assert (JobState.STORED, None) == hasty.ended(job)


def test_with_quarantine_out_nothing_is_decided_about_infected_bytes(process):
    process.scanner.verdict = infected
    process.stores.quarantine.full = True
    job = process.enqueue()

    process.run(job)

    assert not process.decided(job)
    assert 0 == process.attempts(job, "scan")
    process.stores.quarantine.full = False
    process.run_later(job)
    assert (JobState.QUARANTINED, "infected_upload") == process.ended(job)


def test_with_staging_out_at_the_end_the_job_waits_and_is_stored_once(process, monkeypatch):
    job = process.enqueue()
    put = MoodyStorage.put

    def then_staging_goes(storage, *args, **kwargs):
        stat = put(storage, *args, **kwargs)
        process.stores.staging.out = storage is process.stores.primary
        return stat

    with monkeypatch.context() as patched:
        patched.setattr(MoodyStorage, "put", then_staging_goes)
        process.run(job)

    assert not process.decided(job)
    assert 0 == process.attempts(job, "commit")
    process.stores.staging.out = False
    process.run_later(job)
    assert (JobState.STORED, None) == process.ended(job)
    assert 2 == len(process.stores.primary.keys())


def test_a_ledger_that_is_out_at_the_end_catches_up_by_reconciling(process, monkeypatch):
    job = process.enqueue()
    with monkeypatch.context() as patched:
        patched.setattr(type(process.ledger), "finish", raising(LedgerUnavailable("out")))
        process.run(job)

    # The decision stands, and the envelope too, by which reconcile finds it
    assert process.decided(job)
    assert f"envelopes/{job.id}.json" in process.staged
    reconcile(Settler(process.ledger, process.stores))
    assert (JobState.STORED, None) == process.ended(job)


def test_a_lost_reply_is_asked_for_again_and_no_step_is_run_twice(process, monkeypatch):
    entered = []
    function = extract_metadata_module.extract_metadata
    monkeypatch.setattr(
        extract_metadata_module,
        "extract_metadata",
        lambda *args: entered.append(args) or function(*args),
    )
    for name in ("claim", "complete"):
        losing_every_second_reply(monkeypatch, type(process.ledger), name)
    job = process.enqueue()

    process.run(job)

    assert (JobState.STORED, None) == process.ended(job)
    assert 1 == len(entered)
    assert not process.ledger.field(job, "lost_tokens")


def losing_every_second_reply(monkeypatch, owner, name):
    """The call is done, but its caller hears of it only at the second time."""
    method, calls = getattr(owner, name), []

    def unlucky(*args, **kwargs):
        answer = method(*args, **kwargs)
        calls.append(answer)
        if len(calls) % 2:
            raise LedgerUnavailable("the reply was lost")
        return answer

    monkeypatch.setattr(owner, name, unlucky)


def test_without_a_ledger_for_a_whole_lease_a_run_behaves_as_fenced(hasty, monkeypatch):
    job = hasty.enqueue()
    monkeypatch.setattr(type(hasty.ledger), "complete", raising(LedgerUnavailable("out")))

    hasty.run(job)

    # Then it has given nothing back: its lease runs out, and the job goes on elsewhere
    assert "pin" == hasty.ledger.read(job.id).step
    assert hasty.ledger.field(job, "token")
    assert not hasty.decided(job)


def test_a_stopping_worker_gives_the_job_back_after_the_step_that_runs(process, in_validate):
    job = process.enqueue()
    mend = in_validate(STOPPING.set)
    try:
        process.run(job)
    finally:
        STOPPING.set(False)

    assert "scan" == process.open(job).step
    assert process.waits(job) <= 0
    assert 0 == process.attempts(job, "scan")
    mend()
    process.run(job)
    assert (JobState.STORED, None) == process.ended(job)


def test_a_cold_shutdown_in_mid_step_gives_the_job_back_uncounted(process, in_validate):
    in_validate(raising(SystemExit(1)))
    job = process.enqueue()

    with pytest.raises(SystemExit):
        process.run(job)

    assert "validate" == process.open(job).step
    assert process.waits(job) <= 0
    assert 0 == process.attempts(job, "validate")


def test_a_child_beyond_the_hard_limit_leaves_its_job_to_the_report(process, in_validate):
    def killed_by_its_parent(*_: object, **__: object) -> None:
        RUNNING.condemn(os.getpid())
        raise SystemExit(1)

    in_validate(killed_by_its_parent)
    job = process.enqueue()

    with pytest.raises(SystemExit):
        process.run(job)

    # It keeps the lease, which the report of its death takes back
    assert process.ledger.field(job, "token")
    assert "validate" == process.ledger.field(job, "step")


def test_a_fault_outside_every_step_is_counted_and_shown_to_celery(process, monkeypatch):
    monkeypatch.setattr("uploadmill.worker.loop.work_files", raising(KeyError("a mistake")))
    job = process.enqueue()

    with pytest.raises(KeyError):
        process.run(job)

    assert 1 == process.attempts(job, "pin")
    assert "step_failed" == process.open(job).error.code


def test_a_second_message_for_a_job_at_work_changes_nothing(process):
    job = process.enqueue()
    go = brought_to(process.ledger, job, "validate")

    process.run(job)

    assert go.token == process.ledger.field(job, "token")
    assert [] == process.folders(job)


def test_a_job_of_a_newer_version_is_left_for_a_newer_worker(process):
    job = process.enqueue()
    process.ledger.redis.hset(f"um:job:{job.id}", "v", 1000)

    process.run(job)

    assert "pin" == process.ledger.field(job, "step")
    assert not process.ledger.field(job, "token")


def test_a_message_for_no_job_is_dropped(process):
    job = process.enqueue()
    process.ledger.redis.flushdb()
    process.ledger.redis.set("test:now", 1_800_000_000_000)

    process.run(job)

    assert process.ledger.read(job.id) is None


def test_a_pipeline_that_this_worker_does_not_know_waits_for_another(process):
    job = process.enqueue(pipeline="of-another-version")

    process.run(job)

    assert "unknown_pipeline" == process.open(job).error.code
    assert (0, True) == (process.attempts(job, "pin"), process.waits(job) > 0)

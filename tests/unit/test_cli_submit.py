"""``uploadmill submit``: order, exit status, and what is printed; the producer is a stand-in."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from uploadmill.errors import AcceptanceUnknown, JobNotEnded, NotAccepted, UnknownPipeline
from uploadmill.job import JobResult, JobState, JobTimes, OutputFile
from uploadmill.producer.acceptance import Job
from uploadmill.settings import Settings
from uploadmill.worker.cli import main
from uploadmill.worker.commands import submit as command_module

NOW = datetime(2026, 1, 1, tzinfo=UTC)

THUMB = OutputFile(key="k", content_type="image/png", size=3, sha256="0" * 64, store="primary")


class StandIn:
    """Takes what it is given; the file's content says what becomes of it."""

    settings = Settings()

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.pipelines: list[str] = []

    def enqueue(self, source, *, pipeline, filename) -> Job:
        self.pipelines.append(pipeline)
        becomes = b"".join(iter(lambda: source.read(4), b"")).decode()
        if becomes == "refused":
            raise NotAccepted("Redis is out")
        if becomes == "unknown":
            raise AcceptanceUnknown(filename, "it broke off")
        return Job(f"{filename}:{becomes}")

    def wait(self, job_id: str, timeout: float) -> JobResult:
        self.waits.append(timeout)
        name, state = job_id.split(":")
        if state == "running":
            raise JobNotEnded(job_id, state)
        return JobResult(
            job_id="0190a000-0000-7000-8000-000000000000",
            pipeline="photo",
            state=JobState(state),
            filename=name,
            outputs={"thumb": THUMB},
            times=JobTimes(enqueued_at=NOW),
        )

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(command_module, "Uploads", lambda: stand_in)
    monkeypatch.chdir(tmp_path)
    return stand_in


def test_files_are_accepted(uploads):
    result = _submit("a=stored", "b=stored", options=["--pipeline", "avatar"])

    assert 0 == result.exit_code, result.output
    assert ["a  accepted  a:stored", "b  accepted  b:stored"] == result.stdout.splitlines()
    assert ["avatar", "avatar"] == uploads.pipelines
    assert [] == uploads.waits


def test_json_has_one_object_a_line_in_the_order_given(uploads):
    result = _submit("a=stored", "b=refused", "c=unknown", "d=rejected", options=["--json"])

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["a", "b", "c", "d"] == [line["path"] for line in lines]
    assert ["a:stored", None, "c", "d:rejected"] == [line["job_id"] for line in lines]
    assert ["accepted", None, None, "accepted"] == [line["state"] for line in lines]
    codes = [line["error"] and line["error"]["code"] for line in lines]
    assert [None, "not_accepted", "acceptance_unknown", None] == codes


def test_a_bad_path_does_not_stop_the_others(uploads):
    result = _submit("a=stored", options=["missing", ".", "--json"])

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["not_readable", "not_readable", None] == [
        line["error"] and line["error"]["code"] for line in lines
    ]
    assert "missing: No such file or directory" == lines[0]["error"]["message"]
    assert 1 == result.exit_code


def test_waiting_prints_every_field_of_the_result(uploads):
    result = _submit("a=stored", options=["--wait", "--json"])

    [line] = [json.loads(line) for line in result.stdout.splitlines()]
    always = {*JobResult.model_fields} - {"replay_of"}  # which only a replay has
    assert {"path", *always} == set(line)
    assert "primary" == line["outputs"]["thumb"]["store"]
    assert 0 == result.exit_code


@pytest.mark.parametrize("becomes", ["rejected", "quarantined", "failed", "cancelled", "refused"])
def test_waiting_for_what_is_not_stored_ends_with_1(uploads, becomes):
    result = _submit("a=stored", f"b={becomes}", options=["--wait"])

    assert 1 == result.exit_code
    last = "not accepted" if becomes == "refused" else becomes
    assert last in result.stdout.splitlines()[-1]


def test_a_job_that_takes_too_long_is_told_with_its_state(uploads):
    result = _submit("a=running", options=["--wait", "--json", "--timeout", "2.5"])

    line = json.loads(result.stdout)
    assert ("running", "job_not_ended") == (line["state"], line["error"]["code"])
    assert line["error"]["retryable"]
    assert 1 == result.exit_code


def test_all_files_share_one_timeout(uploads):
    _submit("a=running", "b=running", options=["--wait", "--timeout", "5"])

    assert 5 >= uploads.waits[0] > uploads.waits[1] >= 0


def test_a_person_reads_tables(uploads):
    result = _submit("a=stored", "b=refused", options=["--wait"])

    assert "a: stored (job 0190a000" in result.stdout
    assert "b  not accepted            not_accepted: Redis is out" in result.stdout


def test_an_unknown_pipeline_is_refused_before_any_file(uploads):
    result = _submit("a=stored", options=["--pipeline", "foto"])

    assert 1 == result.exit_code
    assert str(UnknownPipeline("foto", uploads.settings.pipeline_names)) in result.output
    assert [] == uploads.pipelines


def test_bars_show_bytes_while_staging_and_files_while_waiting(uploads, monkeypatch):
    # Given a terminal
    moved = []

    class Bar:
        def __init__(self, items=None, **options) -> None:
            self.items, self.label = items, options["label"]
            assert not options["hidden"]
            moved.append((self.label, options.get("length")))

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None:
            pass

        def __iter__(self):
            return iter(self.items)

        def update(self, count: int) -> None:
            moved.append((self.label, count))

    monkeypatch.setattr(command_module, "on_terminal", lambda: True)
    monkeypatch.setattr(command_module.click, "progressbar", Bar)

    # When a file of six bytes is submitted
    _submit("a=stored", options=["--wait"])

    # Then the bytes are counted as they are read
    assert [("Staging", 6), ("Staging", 4), ("Staging", 2), ("Staging", 0), ("Working", None)] == (
        moved
    )


def _submit(*files: str, options: list[str]) -> Result:
    """Submit files given as ``name=content``."""
    names = []
    for file in files:
        name, content = file.split("=")
        Path(name).write_text(content)
        names.append(name)
    return CliRunner().invoke(main, ["submit", *options, *names])

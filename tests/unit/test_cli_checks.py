"""The checks that need no server: settings, pipelines, limits, libmagic, codecs, room."""

from __future__ import annotations

from pathlib import Path

import magic
import pytest
from PIL import features

from uploadmill.settings import Settings
from uploadmill.worker.checks import examine as examine_module
from uploadmill.worker.checks.configured import (
    check_apart,
    check_limits,
    check_pipelines,
    read_settings,
)
from uploadmill.worker.checks.examine import examine
from uploadmill.worker.checks.finding import Finding, Level
from uploadmill.worker.checks.node import check_codecs, check_libmagic, check_workspace
from uploadmill.worker.checks.redis import shown
from uploadmill.worker.checks.scanner import _age


@pytest.fixture(autouse=True)
def _no_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_mistake_of_the_settings_is_found_at_once():
    environ = {
        "UPLOADMILL_PRIMRY__URL": "file:///x",
        "UPLOADMILL_WORKER__SWEEP": "often",
        "UPLOADMILL_SCANNER__ADDRESS": "clamd",
        "UPLOADMILL_CONFIG": "missing.toml",
        "UPLOADMILL_PIPELINES": "{",
    }

    settings, findings = read_settings(environ)

    assert settings is None
    assert {Level.FAULT} == {finding.level for finding in findings}
    text = "\n".join(finding.what for finding in findings)
    assert 5 == len(findings), text
    assert "UPLOADMILL_PIPELINES: not valid JSON" in text
    for name in ("UPLOADMILL_PRIMRY__URL", "worker.sweep", "scanner.address", "missing.toml"):
        assert name in text


def test_nothing_else_is_checked_with_settings_that_cannot_be_read():
    assert ["settings"] == [f.check for f in examine({"UPLOADMILL_NONSENSE": "1"})]


def test_every_mistake_of_the_pipelines_is_found():
    steps = [{"step": "resize", "large": "huge"}, "scann"]
    settings = Settings.model_validate({"pipelines": {"mine": {"steps": steps}}})

    wrong = _faults(check_pipelines(settings))

    assert ["pipeline mine"] * 2 == [finding.check for finding in wrong]
    assert "'huge' is not a box" in wrong[0].what
    assert "did you mean scan?" in wrong[1].what
    assert [] == list(check_limits(settings))


def test_steps_that_may_take_longer_than_the_broker_waits_are_a_fault():
    settings = Settings.model_validate({"worker": {"visibility_timeout": 600}})

    [fault] = _faults(check_limits(settings))

    assert "half of worker.visibility_timeout (600 s)" in fault.what
    assert "visibility_timeout" in fault.how


def test_a_pipeline_that_takes_more_than_a_producer_stages_is_a_fault():
    [fault] = _faults(check_limits(Settings(max_size=500_000_000)))

    assert "pipeline document" == fault.check
    assert "takes 1,000,000,000 bytes, but a producer stages 500,000,000" in fault.what


def test_stores_that_must_be_apart_are_compared():
    one = {"url": "s3://bucket/files"}
    settings = Settings.model_validate(
        {"primary": one, "quarantine": {"url": "s3://bucket/files/"}, "staging": {"url": "memory:"}}
    )

    assert ["quarantine and primary are the same store"] == [f.what for f in check_apart(settings)]


def test_memory_stores_are_never_the_same():
    memory = {"url": "memory:"}
    settings = Settings.model_validate(dict.fromkeys(("primary", "secondary"), memory))

    assert [] == list(check_apart(settings))


def test_a_libmagic_that_is_missing_or_wrong_is_a_fault(monkeypatch):
    assert [] == _faults(check_libmagic(Settings()))

    monkeypatch.setattr(magic, "from_buffer", lambda *_, **__: "text/plain")
    [wrong] = _faults(check_libmagic(Settings()))
    assert "image/webp is called text/plain" in wrong.what

    def broken(*_: object, **__: object) -> str:
        raise ImportError("failed to find libmagic")

    monkeypatch.setattr(magic, "from_buffer", broken)
    [missing] = _faults(check_libmagic(Settings()))
    assert "failed to find libmagic" in missing.what
    assert "apt-get install libmagic1" in missing.how


def test_a_pillow_without_a_codec_is_a_fault(monkeypatch):
    assert [] == _faults(check_codecs(Settings()))

    monkeypatch.setattr(features, "check", lambda name: name not in ("webp", "libjpeg_turbo"))

    found = list(check_codecs(Settings()))
    assert [Level.FAULT, Level.WARNING] == [finding.level for finding in found]
    assert ("Pillow lacks webp", "WebP pictures are rejected") == (found[0].what, found[0].why)


def test_a_workspace_without_room_is_a_warning(monkeypatch, tmp_path):
    settings = Settings.model_validate({"worker": {"workspace": tmp_path / "w"}})
    usage = type("Usage", (), {"free": 10_000})
    monkeypatch.setattr("uploadmill.worker.checks.node.shutil.disk_usage", lambda _: usage)

    [finding] = check_workspace(settings)

    assert Level.WARNING == finding.level
    assert "10,000 bytes free" in finding.what


def test_a_check_that_breaks_does_not_stop_the_others(monkeypatch):
    def check_first(_: Settings) -> list[Finding]:
        raise RuntimeError("no such host: s3cret@cache")

    monkeypatch.setattr(examine_module, "CHECKS", (check_first, check_apart))
    environ = {"UPLOADMILL_SECONDARY__URL": "file:///var/tmp/uploadmill/primary"}

    found = list(examine(environ))

    assert ["settings", "first", "stores"] == [finding.check for finding in found]
    assert "the check itself broke: RuntimeError" == found[1].what


def test_old_signatures_are_a_warning():
    [old] = _age("27000 of Mon Jan  6 09:30:00 2020")
    assert Level.WARNING == old.level
    assert [] == list(_age("local signatures only"))


def test_addresses_are_shown_without_credentials():
    assert "rediss://cache:6380/1" == shown("rediss://user:s3cret@cache:6380/1?password=s3cret")
    assert "redis://cache" == shown("redis://:s3;cret@cache")
    assert "amqp://one//;amqps://two//" == shown("amqp://s:3@one//;amqps://u:s3cret@two//")
    assert "pyamqp://one//;amqp://two//" == shown("pyamqp://one//;amqp://u:s3cret@two//")


def _faults(findings) -> list[Finding]:
    return [finding for finding in findings if finding.level is Level.FAULT]

"""A missing server may never let CI pass."""

import pytest
from services.missing import missing


def test_it_skips_on_a_laptop(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="clamd is not installed: apt-get"):
        missing("clamd", "apt-get install clamav-daemon")


def test_it_fails_in_ci(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="clamd is not installed"):
        missing("clamd")

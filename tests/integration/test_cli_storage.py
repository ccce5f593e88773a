"""``uploadmill storage check``: the contract as a program an operator runs."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from uploadmill.worker.cli import main
from uploadmill.worker.commands import storage as command_module


def test_a_good_store_passes_every_check(tmp_path):
    result = _check((tmp_path / "store").as_uri())

    assert 0 == result.exit_code, result.output
    assert ", 0 failed," in result.stdout.splitlines()[-1]
    assert "FAULT" not in result.stdout


def test_a_broken_store_fails_by_name(monkeypatch):
    # Given a store that forgets which keys are taken
    store = command_module.open_storage("memory:")
    put = store.put
    forgetful = lambda key, source, **options: put(key, source, **{**options, "create_only": False})  # noqa: E731
    monkeypatch.setattr(store, "put", forgetful)
    monkeypatch.setattr(command_module, "open_storage", lambda _: store)

    # Then the document says which promise is broken, and how
    result = _check("memory:", "--json")
    document = json.loads(result.stdout)
    failed = {check["name"]: check["detail"] for check in document["checks"] if not check["ok"]}
    assert 1 == result.exit_code
    assert not document["ok"]
    assert failed["put_create_only_refuses_a_taken_key"]


def test_a_role_stands_for_the_store_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPLOADMILL_SECONDARY__URL", (tmp_path / "kept").as_uri())
    opened = []

    def run_contract(store):
        opened.append(store.name)
        return iter(())

    monkeypatch.setattr(command_module, "run_contract", run_contract)

    assert 0 == _check("secondary").exit_code
    assert ["secondary"] == opened


def test_a_store_that_is_not_there_is_one_message(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")

    result = _check("s3://bucket?endpoint_url=http://127.0.0.1:1&region=us-east-1")

    assert 1 == result.exit_code
    message, hint = result.output.splitlines()
    assert "is unavailable" in message
    assert "uploadmill check" in hint


def test_credentials_in_the_url_are_refused_and_not_repeated():
    result = _check("s3://key:s3cret@bucket")

    assert 1 == result.exit_code
    assert "credentials do not belong in a URL" in result.output
    assert "s3cret" not in result.output


def _check(url: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["storage", "check", url, *options])

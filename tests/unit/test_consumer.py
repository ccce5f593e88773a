"""A worker outlives the loss of its broker, however that broke its connection."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kombu import Connection

from uploadmill.worker.consumer import Consumer


def test_a_connection_that_cannot_be_closed_any_more_is_left(monkeypatch):
    # Given a channel that kombu could not close while its transport was there
    connection = Connection("redis://127.0.0.1:1/0")
    consumer = Consumer.__new__(Consumer)
    consumer.connection = connection
    consumer.app = SimpleNamespace(
        conf=SimpleNamespace(worker_cancel_long_running_tasks_on_connection_loss=False)
    )

    def close() -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")

    monkeypatch.setattr(connection, "close", close)

    # When the worker hears that the connection is gone
    consumer.on_connection_error_after_connected(ConnectionError("closed by server"))

    # Then it has none, and connects anew
    assert consumer.connection is None


def test_other_mistakes_are_not_hidden(monkeypatch):
    connection = Connection("redis://127.0.0.1:1/0")
    consumer = Consumer.__new__(Consumer)
    consumer.connection = connection

    def close() -> None:
        raise LookupError("a mistake")

    monkeypatch.setattr(connection, "close", close)
    with pytest.raises(LookupError):
        consumer.on_connection_error_after_connected(ConnectionError("closed by server"))

"""Structured logs: a fixed event name, then ids and numbers as ``key=value``, one line each."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from celery.signals import after_setup_logger

#: What every log record has anyway; everything else on it came as ``extra``.
_ALWAYS = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "data"}

#: Celery's line for each message received and done: 0.3 ms each, and the ledger says more.
_CHATTY = ("celery.worker.strategy", "celery.app.trace")


class Fields(logging.Formatter):
    """``time level event key=value …``; values with spaces are JSON strings."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self.default_msec_format = "%s.%03d"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, with every extra field of the record behind the message."""
        line = super().formatMessage(record)
        extra = {key: value for key, value in vars(record).items() if key not in _ALWAYS}
        return " ".join([line, *(f"{key}={_value(value)}" for key, value in extra.items())])


def _value(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(c in text for c in ' "=\n') else text


def install() -> None:
    """Format the worker's log when Celery has set it up."""
    after_setup_logger.connect(_format, dispatch_uid="uploadmill.logs")


def _format(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        handler.setFormatter(Fields())
        _finish_lines_before_forks(handler)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _finish_lines_before_forks(handler: logging.Handler) -> None:
    """Fork no child while a thread is in the middle of a line.

    The child would inherit the stream's buffer locked by a thread that it has not, and stand still
    at its own first line, for ever. Logging makes only its own locks anew in a child.
    """
    os.register_at_fork(before=handler.acquire, after_in_parent=handler.release)


def log_to_stderr() -> None:
    """Log like a worker, among whose lines those of the commands it starts stand."""
    handler = logging.StreamHandler()
    handler.setFormatter(Fields())
    logger = logging.getLogger("uploadmill")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)

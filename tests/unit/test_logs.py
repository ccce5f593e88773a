"""Log lines: a fixed event, then fields."""

from __future__ import annotations

import logging

from uploadmill.worker.logs import Fields


def test_fields_follow_the_event_and_odd_values_are_quoted():
    record = logging.makeLogRecord(
        {"name": "uploadmill.job", "levelname": "INFO", "msg": "job_ended", "levelno": 20}
    )
    record.job, record.state, record.reason, record.none = "0190", "stored", 'a "b"\nc', ""
    line = Fields().format(record)
    assert line.endswith('INFO job_ended job=0190 state=stored reason="a \\"b\\"\\nc" none=""')

"""Log lines: a fixed event, then fields."""

from __future__ import annotations

import logging
import subprocess
import sys

from services.waiting import PATIENCE

from uploadmill.worker.logs import Fields


def test_fields_follow_the_event_and_odd_values_are_quoted():
    record = logging.makeLogRecord(
        {"name": "uploadmill.job", "levelname": "INFO", "msg": "job_ended", "levelno": 20}
    )
    record.job, record.state, record.reason, record.none = "0190", "stored", 'a "b"\nc', ""
    line = Fields().format(record)
    assert line.endswith('INFO job_ended job=0190 state=stored reason="a \\"b\\"\\nc" none=""')


#: A process two of whose threads log all the time, to a stream with a buffer, while it forks.
FORKING = """
import io, logging, os, signal, threading
from uploadmill.worker import logs

stream = io.TextIOWrapper(io.BufferedWriter(io.FileIO(os.devnull, "w")))
logger = logging.getLogger()
logger.addHandler(logging.StreamHandler(stream))
logger.setLevel(logging.INFO)
logs.install()
logs.after_setup_logger.send(sender=None, logger=logger)

def chat():
    while True:
        logger.info("x" * 2000)

for _ in range(2):
    threading.Thread(target=chat, daemon=True).start()
for _ in range(30):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # ends whoever stands still
        logger.info("born")
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        os._exit(1)
os._exit(0)
"""


def test_a_child_forked_while_a_thread_logs_can_log():
    done = subprocess.run([sys.executable, "-c", FORKING], timeout=PATIENCE, check=False)
    assert 0 == done.returncode

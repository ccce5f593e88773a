"""What a worker makes before it starts: whatever its jobs need, and no connection."""

from __future__ import annotations

import subprocess
import sys

import pytest

from uploadmill.errors import InvalidSettings
from uploadmill.settings import Settings
from uploadmill.worker.usable import insist_usable

#: Makes everything for stores of three clouds, in a process of its own, which is then fit to fork.
MAKE = """
import socket, threading
def connect(*_): raise SystemExit("it connected")
socket.socket.connect = socket.socket.connect_ex = connect
from uploadmill.settings import Settings
from uploadmill.worker.usable import insist_usable
account = {"account_url": "http://127.0.0.1:1/account", "access_key": "a2V5"}
insist_usable(Settings.model_validate({
    "redis_url": "redis://127.0.0.1:1/0",
    "staging": {"url": "s3://staging"},
    "primary": {"url": "gs://pictures"},
    "secondary": {"url": "azure://pictures", **account},
}))
print(threading.active_count())
"""


def test_nothing_is_connected_and_no_thread_begins_before_the_fork():
    ended = subprocess.run(
        [sys.executable, "-c", MAKE], capture_output=True, text=True, check=False
    )

    assert (0, "1\n") == (ended.returncode, ended.stdout), ended.stderr


def test_a_scanner_without_its_package_is_a_mistake_where_scanning_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "uploadmill.backends.scanner.strict", None)
    monkeypatch.delattr("uploadmill.backends.scanner.strict", raising=False)

    with pytest.raises(InvalidSettings, match="pyclamd: install"):
        insist_usable(Settings())
    insist_usable(Settings.model_validate({"scanner": {"required": False}}))


def test_a_liveness_file_that_is_there_needs_no_folder_to_write_to(tmp_path, monkeypatch):
    # Given a folder in which one file may be written to, as a container has them
    alive = tmp_path / "alive"
    monkeypatch.setattr("os.access", lambda path, _: path == alive)
    settings = Settings.model_validate({"worker": {"liveness_file": alive}})

    with pytest.raises(InvalidSettings, match=r"worker\.liveness_file: it cannot be touched"):
        insist_usable(settings)
    alive.touch()
    insist_usable(settings)

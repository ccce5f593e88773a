"""A producer that was used before its process forked, as preloading web servers do it."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import redis
from services.missing import missing

from uploadmill.wire import QUEUE
from uploadmill.worker.embedded.processes import Server, free_port

#: Parent and children enqueue at the same time, all over clients of their own.
PRELOADING = """
import os, sys
from uploadmill import Uploads

uploads = Uploads()
uploads.enqueue(b"before the fork", pipeline="photo")
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        for turn in range(20):
            job = uploads.enqueue(b"%d %d" % (number, turn), pipeline="photo")
            assert uploads.status(job.id).state == "accepted"
        os._exit(0)
    children.append(child)
for turn in range(20):
    job = uploads.enqueue(b"parent %d" % turn, pipeline="photo")
    assert uploads.status(job.id).state == "accepted"
sys.exit(sum(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.fixture
def environ(redis_url, tmp_path):
    roles = ("STAGING", "PRIMARY", "SECONDARY", "QUARANTINE")
    stores = {f"UPLOADMILL_{role}__URL": f"file://{tmp_path}/{role.lower()}" for role in roles}
    return {**stores, "REDIS_URL": redis_url}


def test_forked_processes_do_not_share_connections(environ, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PRELOADING],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        assert client.llen(QUEUE) == 81
        assert client.zcard("um:open") == 81


#: Loaded by gunicorn's master, which enqueues too; tells which process answered.
APPLICATION = """
import json, os
from uploadmill import Uploads

uploads = Uploads()
uploads.enqueue(b"before the fork", pipeline="photo")

def application(environ, start_response):
    job = uploads.enqueue(environ["wsgi.input"], pipeline="photo")
    start_response("202 Accepted", [("Content-Type", "application/json")])
    state = uploads.status(job.id).state
    return [json.dumps({"job": job.id, "state": state, "pid": os.getpid()}).encode()]
"""


def test_gunicorn_with_a_preloaded_application(environ, tmp_path):
    if find_spec("gunicorn") is None:
        missing("gunicorn", "pip install gunicorn")
    (tmp_path / "preloaded.py").write_text(APPLICATION)
    port = free_port()
    options = ["--preload", "--workers=2", f"--bind=127.0.0.1:{port}", f"--chdir={tmp_path}"]
    server = Server(
        "gunicorn",
        [sys.executable, "-m", "gunicorn", *options, "preloaded"],
        tmp_path / "gunicorn.log",
        {**os.environ, **environ},
    )

    def post(number):
        with urlopen(f"http://127.0.0.1:{port}/", data=b"photograph %d" % number) as answer:
            return json.load(answer)

    try:
        server.wait_ready(lambda: _listens(port), 20)
        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(post, range(30)))
    finally:
        server.stop()

    assert {answer["state"] for answer in answers} == {"accepted"}
    assert len({answer["job"] for answer in answers}) == 30
    assert len({answer["pid"] for answer in answers}) == 2


def _listens(port):
    try:
        with urlopen(f"http://127.0.0.1:{port}/", data=b"are you there?"):
            return True
    except URLError:
        return False

"""Redis dies, freezes, is cut off, goes back in time."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress

import redis
from services.proxy import proxy

from chaos.ground import Ground
from chaos.scenario import Scenario

#: In the short form a Redis that has forgotten something is noticed within three seconds.
SOON = {"UPLOADMILL_LEDGER__RECONCILE": "9"}


def break_redis(ground: Ground) -> None:
    """One fault after the other while jobs come in."""
    uploads = list(ground.corpus.mixed(ground.jobs))
    with proxy(int(ground.valkey.url.rsplit(":", 1)[1].split("/")[0])) as between:
        # Workers reach Redis through a proxy that can swallow their bytes; the producer does not.
        url = f"redis://127.0.0.1:{between.port}/0"
        ground.hire_few(environ={"UPLOADMILL_REDIS_URL": url, "UPLOADMILL_BROKER_URL": url})
        with ground.submitting(uploads, pause=0.2):
            for _ in range(1 if ground.short else 3):
                _cut(ground)
                _freeze(ground)
                _kill(ground)
                ground.book.fault("half_open")
                between.black_hole = True
                ground.pause(ground.lease * 1.5)
                between.black_hole = False
                ground.pause(1)
                _roll_back(ground)
        ground.pause(1)
        ground.stop_warm(ground.crew)
        for member in ground.crew:
            member.environ = {}


def _cut(ground: Ground) -> None:
    for _ in range(3):
        ground.book.fault("connections_cut")
        with suppress(redis.RedisError), ground.redis() as client:
            client.client_kill_filter(_type="normal")
        ground.pause(0.5)


def _freeze(ground: Ground) -> None:
    ground.book.fault("freeze_redis")
    os.kill(ground.valkey.pid, signal.SIGSTOP)
    ground.pause(ground.lease * 1.2)
    os.kill(ground.valkey.pid, signal.SIGCONT)
    ground.pause(1)


def _kill(ground: Ground) -> None:
    ground.kill_redis()
    ground.pause(1)
    ground.start_redis()
    ground.pause(2)


def _roll_back(ground: Ground) -> None:
    """Redis comes back as it was some seconds ago, as after a failover to a late replica."""
    state, older = ground.folder / "valkey", ground.folder / "valkey-older"
    shutil.rmtree(older, ignore_errors=True)
    shutil.copytree(state, older)
    ground.pause(3)
    ground.kill_redis()
    ground.book.fault("roll_redis_back")
    shutil.rmtree(state)
    shutil.copytree(older, state)
    ground.start_redis()
    ground.pause(2)


REDIS = Scenario("redis", break_redis, jobs=(600, 80), short_settings=SOON)

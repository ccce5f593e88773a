"""Which nodes work on this ledger, and what all of their workers must have set alike.

Everything here runs out by itself: a worker says it again and again, a dead one falls silent.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import AGREED
from uploadmill.backends.ledger.scripts import serving
from uploadmill.errors import InvalidSettings
from uploadmill.settings import Settings
from uploadmill.wire import LEDGER_PREFIX, is_redis

#: A hash: each node's id, its host, and when one of its workers last said so.
NODES = LEDGER_PREFIX + "nodes"

#: Seconds between two times that a worker says it is there.
SAY = 10.0

#: Seconds after which what nobody says any more does not hold.
HOLD = 30.0


class Roster:
    """What one worker says of itself.

    Args:
        ledger: On connections of its own.
        settings: Its settings.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings

    def agree(self) -> None:
        """Say which visibility timeout this worker has; the first worker's holds for all.

        Raises:
            InvalidSettings: Another worker has another one.
            LedgerUnavailable: Redis does not serve us.
        """
        if is_redis(self._settings.broker_url):
            self._refuse_unless(self._ledger.agree(self._name, self._ours, HOLD))

    def compare(self) -> None:
        """The same without saying anything, for who is no worker.

        Raises:
            InvalidSettings: The workers have another one.
            LedgerUnavailable: Redis does not serve us.
        """
        with serving():
            held = self._ledger.redis.get(AGREED + self._name)
        self._refuse_unless(str(held or self._ours))

    @property
    def _ours(self) -> str:
        return f"{self._settings.worker.visibility_timeout:g}"

    @property
    def _name(self) -> str:
        # The queue belongs to the broker, which may be another Redis than the ledger's.
        return f"visibility_timeout:{_place(self._settings.broker_url)}"

    def _refuse_unless(self, held: str) -> None:
        ours = self._ours
        if held != ours:
            raise InvalidSettings(
                f"worker.visibility_timeout is {ours} s here and {held} s in another worker on "
                "this broker's database: the shorter one would take the other's messages back "
                "while they are worked on. Set it alike everywhere; to change it, stop all "
                f"workers and wait {HOLD:g} s"
            )

    def say(self, node: str) -> None:
        """Say that a worker of *node* is there.

        Raises:
            LedgerUnavailable: Redis does not serve us.
        """
        with serving():
            now = self._ledger.redis.time()[0]
            self._ledger.redis.hset(NODES, node, f"{now} {socket.gethostname()}")


def nodes(ledger: Ledger) -> dict[str, str]:
    """The nodes with workers at this moment, and their hosts.

    Raises:
        LedgerUnavailable: Redis does not serve us.
    """
    with serving():
        now = float(ledger.redis.time()[0])
        said = {str(node): str(words) for node, words in ledger.redis.hgetall(NODES).items()}
        there, gone = {}, []
        for node, words in said.items():
            at, _, host = words.partition(" ")
            if now - float(at) < HOLD:
                there[node] = host
            else:
                gone.append(node)
        if gone:
            ledger.redis.hdel(NODES, *gone)
    return there


def _place(url: str) -> str:
    """Host, port and database of a Redis: no user, no password, no options."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}{parts.path or '/0'}"

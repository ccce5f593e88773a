"""Which nodes work on this ledger, and what all of their workers must have set alike.

Everything here runs out by itself: a worker says it again and again, a dead one falls silent.
"""

from __future__ import annotations

import socket
from contextlib import closing

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.names import AGREED
from uploadmill.backends.ledger.scripts import Scripts, serving
from uploadmill.errors import InvalidSettings
from uploadmill.settings import Settings
from uploadmill.wire import LEDGER_PREFIX, PRODUCER_TIMEOUT, is_redis

#: A hash: each node's id, its host, and when one of its workers last said so.
NODES = LEDGER_PREFIX + "nodes"

#: Seconds between two times that a worker says it is there.
SAY = 10.0

#: Seconds after which what nobody says any more does not hold.
HOLD = 30.0

#: What all workers on one broker have alike. It lies in the broker's own database, which may be
#: another than the ledger's: so it does not matter how its address is spelt.
_NAME = "visibility_timeout"


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
            LedgerUnavailable: The broker does not serve us.
        """
        if self._has_timeout:
            with closing(self._broker()) as broker:
                self._refuse_unless(broker.agree(_NAME, self._ours, HOLD))

    def compare(self) -> bool:
        """Only look; returns whether any worker has said it, or it means nothing here.

        Raises:
            InvalidSettings: The workers have another one.
            LedgerUnavailable: The broker does not serve us.
        """
        if not self._has_timeout:
            return True
        with serving(), closing(self._broker()) as broker:
            held = broker.redis.get(AGREED + _NAME)
        self._refuse_unless(str(held or self._ours))
        return held is not None

    def insist(self) -> None:
        """Say it whatever somebody else has said.

        Raises:
            LedgerUnavailable: The broker does not serve us.
        """
        with serving(), closing(self._broker()) as broker:
            broker.redis.set(AGREED + _NAME, self._ours, px=round(HOLD * 1000))

    @property
    def _ours(self) -> str:
        return f"{self._settings.worker.visibility_timeout:g}"

    @property
    def _has_timeout(self) -> bool:
        # RabbitMQ gives a message back when the connection of its worker is gone.
        return is_redis(self._settings.broker_url)

    def _broker(self) -> Scripts:
        return Scripts(self._settings.broker_url, PRODUCER_TIMEOUT)

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

"""Lua scripts on a Redis: sent by their hash, with outages told from mistakes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from uploadmill.backends.ledger.names import AGREED
from uploadmill.errors import InvalidSettings, LedgerUnavailable

#: How redis-py raises that Redis does not serve us now: an outage, not a mistake of ours.
_OUTAGES = (
    redis.ConnectionError,  # refused, reset, still loading, wrong password
    redis.TimeoutError,
    redis.OutOfMemoryError,
    redis.ReadOnlyError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.ClusterDownError,
)

#: The same for errors that redis-py has no class for, by the first word of the reply.
_OUTAGE_WORDS = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY")

#: Seconds for which a connection that has answered is taken to stand without a look.
TRUSTED = 1.0

#: Seconds that Redis may take to make a write durable: ``appendfsync everysec`` takes one.
DURABLE_WITHIN = 1.5

#: Seconds for which an agreed value holds after somebody last said it.
AGREED_FOR = 60.0

#: Of which texts a script is made that is no transition of one job.
_PARTS = {
    "due": ("clock", "due"),
    "unsent": ("clock", "unsent"),
    "stats": ("clock", "stats"),
    "heal_due": ("clock", "heal_due"),
    "heal_put": ("clock", "heal_put"),
    "heal_drop": ("heal_drop",),
    "agree": ("agree",),
    "breaker": ("clock", "breaker"),
}

#: A transition's answer travels as one JSON string: redis-py reads each word of an array slowly.
_TRANSITION = "return cjson.encode((function()\n{}\nend)())"


#: ``WAIT`` or ``WAITAOF``, and how many must acknowledge.
Wait = tuple[str, int] | tuple[str, int, int]


def _client(url: str, timeout: float) -> redis.Redis:
    """A client that repeats nothing; it connects when it is first used."""
    try:
        client = redis.Redis.from_url(
            url,
            decode_responses=True,
            protocol=2,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            # Callers repeat with the same nonce; a hidden repetition would only hide the outage.
            retry=Retry(NoBackoff(), 0),
        )
        # An option that no connection takes would else break the first call.
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (TypeError, ValueError):
        raise InvalidSettings(
            "redis_url: behind its '?' is an option, or a value of one, that redis-py cannot take"
        ) from None
    return client


class Scripts:
    """The scripts of ``lua/`` on one Redis database.

    Args:
        url: The Redis to use.
        timeout: Seconds to wait for one answer.

    Raises:
        InvalidSettings: The address has options that there are not.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.redis = _client(url, timeout)
        self._scripts: dict[str, tuple[str, str]] = {}
        #: Connections that have answered, and when; any thread may take one.
        self._resting: list[tuple[Any, float]] = []

    def close(self) -> None:
        """Give the connections back."""
        self._resting.clear()
        self.redis.close()

    def call(
        self, name: str, keys: Sequence[str], arguments: Sequence[Any], waits: Sequence[Wait] = ()
    ) -> Any:
        """Run a script, and wait until what it wrote is as durable as *waits* ask for.

        Returns:
            What it answers; a transition's answer is JSON.

        Raises:
            LedgerUnavailable: Redis does not serve us, or the write may not be durable.
        """
        text, sha = self._scripts.get(name) or self._load(name)
        words = (len(keys), *keys, *arguments)
        with serving():
            try:
                return self._exchange(("EVALSHA", sha, *words), waits)
            except redis.exceptions.NoScriptError:
                return self._exchange(("EVAL", text, *words), waits)

    def agree(self, name: str, value: str, hold: float = AGREED_FOR) -> str:
        """Say what *name* is to be for everybody on this database; returns what it is.

        The first value said holds, for *hold* seconds after somebody last said it: processes
        that rely on it say it again well within that time.
        """
        return str(self.call("agree", (AGREED + name,), (value, round(hold * 1000)))[0])

    def text(self, name: str) -> str:
        """The Lua text called *name*."""
        return _text(name)

    def _exchange(self, words: Sequence[Any], waits: Sequence[Wait]) -> Any:
        """Send a command and read its reply.

        By hand: redis-py's client takes three times the CPU, half of it to find out before every
        command whether the connection still stands.
        """
        connection = self._connection()
        try:
            connection.send_packed_command([_packed(words)])
            reply = connection.read_response()
            for wait in waits:
                _durable(connection, wait)
        except redis.ResponseError:
            self._resting.append((connection, time.monotonic()))
            raise
        except BaseException:
            # What was not read would be taken for the answer to the next command.
            connection.disconnect()
            self.redis.connection_pool.release(connection)
            raise
        self._resting.append((connection, time.monotonic()))
        return reply

    def _connection(self) -> Any:
        """A connection that stands: one that has just answered, or one that the pool has tried."""
        pool = self.redis.connection_pool
        with suppress(IndexError):
            connection, answered = self._resting.pop()
            if time.monotonic() - answered < TRUSTED:
                return connection
            pool.release(connection)
        return pool.get_connection()

    def _load(self, name: str) -> tuple[str, str]:
        """A script's text and its sha1, by which Redis remembers it."""
        parts = _PARTS.get(name, ("clock", "record", name))
        text = "\n".join(map(self.text, parts))
        if name not in _PARTS:
            text = _TRANSITION.format(text)
        self._scripts[name] = text, hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - a name
        return self._scripts[name]


@contextmanager
def serving() -> Iterator[None]:
    """Raise an outage of Redis as ``LedgerUnavailable``, and a mistake of our own as it is."""
    try:
        yield
    except redis.RedisError as error:
        outage = isinstance(error, _OUTAGES)
        word = type(error).__name__ if outage else str(error).split(" ", 1)[0]
        if outage or word in _OUTAGE_WORDS:
            raise LedgerUnavailable(f"Redis does not serve us ({word})") from error
        raise


def _durable(connection: Any, wait: Wait) -> None:
    """Wait for what this very connection has written.

    Raises:
        LedgerUnavailable: Too few have acknowledged it in time.
    """
    connection.send_packed_command([_packed((*wait, round(DURABLE_WITHIN * 1000)))])
    if not connection.can_read(timeout=DURABLE_WITHIN + 1):
        raise redis.TimeoutError("no reply to WAIT")
    try:
        reply = connection.read_response()
    except redis.ResponseError as error:  # no append-only file, or a server older than the command
        raise LedgerUnavailable(f"Redis took the write and refuses {wait[0]}: {error}") from error
    acknowledged = reply[0] if isinstance(reply, list) else reply
    if acknowledged < wait[1]:
        raise LedgerUnavailable(
            f"Redis took the write, and it is not certain to keep it: {wait[0]} gave "
            f"{acknowledged} of {wait[1]} within {DURABLE_WITHIN:g} s"
        )


def _packed(words: Sequence[Any]) -> bytes:
    """A command as Redis' protocol has it; redis-py's own takes three times as long."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


@cache
def _text(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text()

"""Broker and ledger: both answer, and the ledger keeps what it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import redis
from kombu import Connection, Exchange, Producer, Queue

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.ledger.scripts import DURABLE_WITHIN
from uploadmill.errors import LedgerUnavailable
from uploadmill.ids import new_nonce
from uploadmill.settings import Settings
from uploadmill.wire import LEDGER_PREFIX, producer_options
from uploadmill.worker.checks.finding import Finding, fault, good, warning
from uploadmill.worker.configuration import insist_on_broker

#: Seconds to wait for one answer.
TIMEOUT = 2.0

PROBE = LEDGER_PREFIX + "probe"

ACCEPT = "or set accept_volatile_redis = true to accept the risk"


def check_broker(settings: Settings) -> Iterator[Finding]:
    """A message goes to the broker and comes back, on a queue of its own."""
    insist_on_broker(settings)
    began = time.monotonic()
    try:
        with _connection(settings.broker_url) as connection:
            _round_trip(connection)
    except Exception as error:  # noqa: BLE001 - every transport has errors of its own
        yield fault(
            "broker",
            f"{shown(settings.broker_url)} did not take and give a message "
            f"({type(error).__name__})",
            "workers take no jobs",
            "start it, or correct broker_url (unset it is redis_url) and its credentials",
        )
        return
    ms = (time.monotonic() - began) * 1000
    yield good(
        "broker", f"{shown(settings.broker_url)} took a message and gave it back, {ms:.0f} ms"
    )


def _connection(url: str) -> Connection:
    return Connection(url, connect_timeout=TIMEOUT, transport_options=producer_options(url))


def _round_trip(connection: Connection) -> None:
    name = f"uploadmill.check.{new_nonce()}"
    channel = connection.channel()
    # The nameless exchange leads to the queue of that name and leaves no binding behind.
    queue = Queue(name, Exchange(""), routing_key=name, durable=False, exclusive=True)(channel)
    queue.declare()
    try:
        Producer(channel).publish({"check": name}, exchange="", routing_key=name, serializer="json")
        message = queue.get(no_ack=True, accept=["json"])
        if message is None or message.payload != {"check": name}:
            raise LookupError("another message came back")
    finally:
        queue.delete()


def check_ledger(settings: Settings) -> Iterator[Finding]:
    """The ledger answers, can write, persists and never evicts."""
    with closing(Ledger(settings.redis_url, settings.ledger, timeout=TIMEOUT)) as ledger:
        try:
            ledger.probe()
        except LedgerUnavailable as error:
            yield fault(
                "ledger",
                f"{shown(settings.redis_url)}: {error}",
                "no upload is accepted and no job goes on",
                "start it, or correct redis_url and its credentials; if it is full, give it memory",
            )
            return
        yield good("ledger", f"{shown(settings.redis_url)} answers and takes writes")
        yield from _keeping(ledger.redis, settings)


def _keeping(client: redis.Redis, settings: Settings) -> Iterator[Finding]:
    try:
        answer = client.config_get("maxmemory*", "appendonly", "appendfsync", "save")
    except redis.ResponseError:
        yield warning(
            "ledger persistence",
            "this Redis hides CONFIG, so nobody can tell whether it persists and evicts",
            "an evicted or forgotten record delays its job until the next reconcile",
            "look at your provider's settings: append-only file on, policy noeviction",
        )
        return
    except redis.RedisError as error:
        yield fault(
            "ledger", f"no answer to CONFIG ({type(error).__name__})", "", "look at its log"
        )
        return
    config = {str(name): str(value) for name, value in answer.items()}
    yield _persistence(config, settings)
    yield _eviction(config, settings)


def _persistence(config: dict[str, str], settings: Settings) -> Finding:
    check = "ledger persistence"
    if config.get("appendonly") == "yes":
        return good(check, f"append-only file, fsync {config.get('appendfsync', 'unknown')}")
    if config.get("save"):
        what, how = "snapshots only", "set appendonly yes beside the snapshots"
        return warning(check, what, "a crash forgets the last minutes until a reconcile", how)
    return _volatile(
        check,
        "it does not persist: appendonly no, and no save points",
        "a restart forgets all open jobs until a worker reconciles, and all results' cache",
        "set appendonly yes",
        settings,
    )


def check_durability(settings: Settings) -> Iterator[Finding]:
    """Redis gives what producers and workers are set to wait for, tried with a write."""
    asked = settings.ledger
    if not (asked.wait_local_fsync or asked.wait_replicas):
        return
    with closing(_one_connection(settings.redis_url)) as client:
        if asked.wait_local_fsync:
            yield _waited(client, "ledger.wait_local_fsync", 1, ("WAITAOF", 1, 0))
        if asked.wait_replicas:
            count = asked.wait_replicas
            yield _waited(client, "ledger.wait_replicas", count, ("WAIT", count))


def _one_connection(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, single_connection_client=True, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
    )


def _waited(client: Any, name: str, asked: int, wait: tuple[str | int, ...]) -> Finding:
    """Write, and wait on the same connection, as the setting *name* asks for."""
    remedies = {
        "ledger.wait_local_fsync": "use Redis 7.2 or Valkey with appendonly yes",
        "ledger.wait_replicas": "connect more replicas, or ask for fewer",
    }
    try:
        client.set(PROBE, 1, ex=1)
        reply = client.execute_command(*wait, round(DURABLE_WITHIN * 1000))
        given = int(reply[0] if isinstance(reply, list) else reply)
        problem = None if given >= asked else f"{wait[0]} gave {given} of {asked}"
    except redis.RedisError as error:
        problem = f"{wait[0]}: {error}"
    if problem is None:
        return good(name, f"{wait[0]} gave {asked} of {asked}")
    why = "no upload is accepted and no job ends: each waits for it in vain"
    return fault(name, problem, why, f"{remedies[name]}, or set {name} to its default")


def _eviction(config: dict[str, str], settings: Settings) -> Finding:
    check = "ledger eviction"
    policy, limit = config.get("maxmemory-policy", ""), config.get("maxmemory", "0")
    if policy == "noeviction" or limit == "0":
        return good(check, "never" if policy == "noeviction" else "never: there is no maxmemory")
    return _volatile(
        check,
        f"it evicts keys when it is full: maxmemory-policy {policy}",
        "an evicted record is a job that nobody works on until a worker reconciles",
        "set maxmemory-policy noeviction",
        settings,
    )


def _volatile(check: str, what: str, why: str, how: str, settings: Settings) -> Finding:
    """A fault, unless the settings accept just this."""
    if settings.accept_volatile_redis:
        return warning(check, f"{what} (accepted: accept_volatile_redis)", why, how)
    return fault(check, what, why, f"{how}, {ACCEPT}")


def shown(url: str) -> str:
    """*url* without user, password and options; several, as a RabbitMQ may have, likewise."""
    return ";".join(map(_shown, [url] if url.startswith("redis") else url.split(";")))


def _shown(url: str) -> str:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"

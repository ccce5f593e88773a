"""The addresses of servers in the settings: what is wrong with one, without showing any of it.

A password may stand anywhere in an address that was written wrongly. Messages say what is expected
and never what was found, nor do the errors of ``urllib``, which quote it, come along.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

#: What ends a part of an address, and must be written otherwise where it belongs to a password.
ESCAPES = "in a password write %2F for '/', %23 for '#', %3F for '?', %40 for '@'"

PORT = "a port is a number from 1 to 65535"

_REDIS = ("redis", "rediss")
_RABBITMQ = ("amqp", "amqps", "pyamqp")


def ledger_address(url: str) -> str:
    """*url*, if redis-py can take it.

    Raises:
        ValueError: It cannot.
    """
    parts = _server(url, (*_REDIS, "unix"), "redis://host:6379/0, rediss://… or unix:///path")
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("it names no socket; write unix:///path?db=0")
    else:
        _check_database(parts)
    return url


def broker_address(url: str) -> str:
    """*url*, if it is one of a Redis or of a RabbitMQ; of the latter several, with ``;`` between.

    Raises:
        ValueError: It is not.
    """
    form = "redis://host:6379/0, rediss://…, amqp://user:password@host:5672/vhost or amqps://…"
    if url.startswith(_REDIS):
        _check_database(_server(url, _REDIS, form))
        if ";" in url:
            raise ValueError(f"there can be but one Redis; {ESCAPES}, %3B for ';'")
    else:
        for each in url.split(";"):
            _server(each, _RABBITMQ, form)
    return url


def scanner_address(address: str) -> str:
    """*address*, if it is one of clamd.

    Raises:
        ValueError: It is not.
    """
    parts = _split(address, PORT)
    if parts.scheme == "unix":
        complete = address.startswith("unix:///")
    else:
        complete = parts.scheme == "tcp" and bool(parts.hostname and parts.port)
    if not complete:
        raise ValueError("not an address of clamd; write unix:///path or tcp://host:port")
    return address


def _server(url: str, schemes: tuple[str, ...], form: str) -> SplitResult:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in schemes:
        raise ValueError(f"not an address that is known; write {form}")
    parts = _split(url, f"{PORT}; {ESCAPES}")
    if parts.fragment or (scheme != "unix" and "@" in parts.path + parts.query):
        raise ValueError(f"it ends before it should; {ESCAPES}")
    return parts


def _check_database(parts: SplitResult) -> None:
    database = parts.path.strip("/")
    if database and not database.isdecimal():
        raise ValueError(f"behind the last '/' stands a database's number; {ESCAPES}")


def _split(url: str, mistake: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(mistake)
    return parts

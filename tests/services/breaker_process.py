"""A process that uses a breaker when it is told to: ``breaker_process.py URL fail|enter``."""

# ruff: noqa: T201 (this is how it speaks)

from __future__ import annotations

import sys
from contextlib import closing

from uploadmill.backends.ledger.breaker import SharedBreakers
from uploadmill.backends.ledger.scripts import Scripts
from uploadmill.errors import StorageUnavailable
from uploadmill.settings import BreakerSettings

SETTINGS = BreakerSettings(failures=3, window=30, open=10, probe=60)

#: Seconds to wait for Redis: as patient as a slow machine needs it.
PATIENT = 10.0


def main(url: str, verb: str) -> None:
    with closing(SharedBreakers("", SETTINGS, scripts=Scripts(url, PATIENT))) as breakers:
        breaker = breakers("primary")
        print("ready", flush=True)
        sys.stdin.readline()
        admission = breaker.enter()
        if verb == "fail":
            breaker.failed(admission, StorageUnavailable("primary", "no answer"))
            print("failed", flush=True)
        else:
            word = "allowed" if admission.allowed else "refused"
            print("probe" if admission.probe else word, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What ``dev`` and ``demo`` share: what is said about scanning, and how they are stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from uploadmill.worker.embedded.clamd import find_clamd, has_system_signatures

INSTALL = "Debian: apt-get install clamav-daemon   macOS: brew install clamav"

NOT_SCANNED = "Nothing is scanned for viruses: started with --without-scan. For trying out only."

TEST_SIGNATURE = (
    "Scanned for the EICAR test file alone: this machine has no virus signatures (freshclam "
    "fetches them). For trying out only."
)


def scan_notice(*, without_scan: bool) -> str | None:
    """What has to be said about scanning, first and last; None where all is well.

    Raises:
        click.ClickException: There is no clamd, and nobody asked to do without.
    """
    if without_scan:
        return NOT_SCANNED
    if find_clamd() is None:
        raise click.ClickException(
            f"clamd is not installed, and uploads must be scanned. Install it ({INSTALL}), "
            "or add --without-scan to try uploadmill out without"
        )
    return None if has_system_signatures() else TEST_SIGNATURE


def say(notice: str | None) -> None:
    """Print a notice so that it is seen."""
    if notice:
        click.secho(f"** {notice}", bold=True)


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block, as KeyboardInterrupt; a second one changes nothing.

    Without that an impatient second Ctrl-C would interrupt the stopping of the servers.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def stop(*_: Any) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

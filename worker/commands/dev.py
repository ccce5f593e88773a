"""``uploadmill dev``: everything an upload needs, on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from uploadmill.errors import EmbeddedServerFailed
from uploadmill.settings import Settings
from uploadmill.settings_sources import CONFIG_VARIABLE
from uploadmill.worker.commands.local import say, scan_notice, stoppable
from uploadmill.worker.commands.show import table
from uploadmill.worker.embedded.environment import Environment, embedded_environment
from uploadmill.worker.usable import insist_on_pipelines

#: Seconds between two looks whether all processes are still there.
LOOK = 0.5

#: A TCP port; 0 takes a free one.
PORT = click.IntRange(0, 65_535)


@click.command()
@click.option(
    "--port", type=PORT, default=5555, show_default=True, help="Of Flower; 0: a free one."
)
@click.option("--redis-port", type=PORT, default=0, help="Of ledger and broker; 0: a free one.")
@click.option(
    "--var",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    help="Where stores, ledger and logs lie; they stay.",
)
@click.option("--without-scan", is_flag=True, help="Do without a virus scanner.")
def dev(port: int, redis_port: int, folder: Path, *, without_scan: bool) -> None:
    """Run servers, a worker and Flower on this machine until Ctrl-C.

    Your own pipelines are those of your settings; everything else lies in the folder.
    """
    notice = scan_notice(without_scan=without_scan)
    say(notice)
    with suppress(KeyboardInterrupt), stoppable():
        click.echo("Starting ...")
        with embedded_environment(
            folder,
            scan=not without_scan,
            workers=1,
            flower_port=port,
            redis_port=redis_port,
            pipelines=_own_pipelines(folder),
        ) as environment:
            click.echo("\n".join(_usage(environment)))
            _watch(environment)
    click.echo("Stopped.")
    say(notice)


def _own_pipelines(folder: Path) -> Mapping[str, Any]:
    """The pipelines of the app that is being developed.

    Raises:
        InvalidSettings: They, or other settings, have mistakes.
    """
    environ = dict(os.environ)
    named = environ.get(CONFIG_VARIABLE)
    # A terminal in which our own file is exported: it names no pipelines but those found here.
    if named and Path(named).resolve() == (folder / "uploadmill.toml").resolve():
        del environ[CONFIG_VARIABLE]
    own = Settings.load(environ).pipelines
    # With settings that are otherwise ours, as our worker is going to have them.
    insist_on_pipelines(Settings(pipelines=own))
    return {name: pipeline.model_dump(mode="json") for name, pipeline in own.items()}


def _usage(environment: Environment) -> Iterator[str]:
    yield "uploadmill is running; Ctrl-C stops it."
    yield ""
    rows = [
        ("Flower", str(environment.flower_url)),
        ("Ledger and broker", environment.settings.redis_url),
        ("Stores and logs", str(environment.folder)),
        ("Pipelines", ", ".join(environment.settings.pipeline_names)),
        ("Signatures", environment.signatures),
    ]
    yield from (f"  {line}" for line in table(rows))
    yield ""
    yield "In another terminal, and for your web app:"
    yield ""
    yield f"  export {CONFIG_VARIABLE}={shlex.quote(str(environment.config))}"
    yield "  uploadmill submit --wait photo.jpg"
    yield ""


def _watch(environment: Environment) -> None:
    """Return never: an interrupt ends it, or a process that should be running has ended."""
    while not (ended := environment.ended):
        time.sleep(LOOK)
    raise EmbeddedServerFailed(ended[0].name, f"it ended by itself; see {ended[0].log}")

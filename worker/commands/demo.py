"""``uploadmill demo``: one picture through the whole system, and what came of it."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path

import click

from uploadmill.errors import UploadmillError
from uploadmill.job import JobResult, JobState
from uploadmill.producer import Uploads
from uploadmill.worker.commands.local import say, scan_notice, stoppable
from uploadmill.worker.commands.show import describe, size
from uploadmill.worker.embedded.environment import Environment, embedded_environment

#: Where the outputs stay; everything else is temporary.
OUTPUTS = Path("var/demo")

#: Seconds the job may take.
TIMEOUT = 60.0

PICTURE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=PICTURE, required=False)
@click.option("--pipeline", default="photo", show_default=True)
@click.option("--without-scan", is_flag=True, help="Do without a virus scanner.")
@click.option("--stay", is_flag=True, help="Keep running until Ctrl-C, to look around in Flower.")
def demo(file: Path | None, pipeline: str, *, without_scan: bool, stay: bool) -> None:
    """Send one picture through servers of its own, and show its result.

    Without FILE a photograph is drawn. The exit status is 0 if it was stored.
    """
    notice = scan_notice(without_scan=without_scan)
    say(notice)
    with stoppable(), tempfile.TemporaryDirectory(prefix="uploadmill-") as temporary:
        folder = Path(temporary)
        source = file or _drawn(folder)
        scanner = "" if without_scan else "clamd, "
        click.echo(f"Starting Valkey, {scanner}a worker and Flower ...")
        began = time.monotonic()
        outputs = OUTPUTS.resolve().as_uri()
        with embedded_environment(
            folder,
            scan=not without_scan,
            workers=1,
            flower_port=0,
            overrides={
                "UPLOADMILL_PRIMARY__URL": outputs,
                "UPLOADMILL_PRIMARY__PUBLIC_URL": outputs,
            },
        ) as environment:
            click.echo(f"Ready after {time.monotonic() - began:.1f} s.")
            try:
                result = _run(environment, source, pipeline)
            except UploadmillError:
                # It lies in the temporary folder, and tells what the job could not.
                click.echo(environment.worker_log.read_text(errors="replace"), err=True)
                raise
            click.echo(f"Flower: {environment.flower_url}")
            if stay:
                _until_interrupted()
    click.echo("All servers are stopped.")
    say(notice)
    if result.state is not JobState.STORED:
        raise SystemExit(1)


def _drawn(folder: Path) -> Path:
    from uploadmill.worker.commands.drawing import draw_photo  # noqa: PLC0415 - needs Pillow

    click.echo("Drawing a photograph of 12 megapixels ...")
    path = folder / "photo.jpg"
    draw_photo(path)
    return path


def _run(environment: Environment, source: Path, pipeline: str) -> JobResult:
    """Submit, wait, and show."""
    with closing(Uploads(environment.settings)) as uploads:
        click.echo(f"Submitting {source.name}, {size(source.stat().st_size)} ...\n")
        began = time.perf_counter()
        result = uploads.wait(uploads.enqueue(source, pipeline=pipeline).id, TIMEOUT)
        seconds = time.perf_counter() - began
    click.echo("\n".join(describe(result)))
    click.echo(f"\nFrom submitting to the result: {seconds:.2f} s")
    return result


def _until_interrupted() -> None:
    click.echo("Running until Ctrl-C ...")
    try:
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        click.echo()

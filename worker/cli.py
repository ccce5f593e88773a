"""The command line, ``uploadmill COMMAND``: only the group; each command has a file of its own."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from uploadmill.errors import TransientError, UploadmillError

#: The commands in the order of the help, each in ``commands/<name>.py``, imported when it is used.
COMMANDS = (
    "submit",
    "status",
    "cancel",
    "failed",
    "replay",
    "stats",
    "recover",
    "heal",
    "gc",
    "canary",
    "check",
    "storage",
    "dev",
    "demo",
)

#: What to do where something outside does not answer.
LOOK = "`uploadmill check` says what is wrong, and how to fix it."


class Commands(click.Group):
    """A group that imports a command when it is asked for, and shows our errors as messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command called *cmd_name*."""
        if cmd_name not in COMMANDS:
            return None
        try:
            module = import_module(f"uploadmill.worker.commands.{cmd_name}")
        except ModuleNotFoundError as error:
            return _unavailable(cmd_name, str(error.name))
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours ends it with its message and exit status 1."""
        try:
            return super().invoke(ctx)
        except UploadmillError as error:
            hint = f"\n{LOOK}" if isinstance(error, TransientError) else ""
            raise click.ClickException(f"{error}{hint}") from error


def _unavailable(name: str, package: str) -> click.Command:
    """What stands for a command of workers where only a producer is installed."""
    reason = f"it needs the package {package}: install uploadmill[worker]"

    def explain(**_: Any) -> None:
        raise click.ClickException(f"{name} is not available here; {reason}")

    return click.Command(
        name,
        callback=explain,
        params=[click.Argument(["arguments"], nargs=-1)],
        context_settings={"ignore_unknown_options": True},
        short_help=f"Not available here: {reason}.",
    )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="uploadmill")
def main() -> None:
    """Uploads are scanned, checked, resized and stored exactly once, by Celery workers.

    Settings come from uploadmill.toml (or the file that UPLOADMILL_CONFIG names) and from
    UPLOADMILL_… variables.
    """


if __name__ == "__main__":
    main()

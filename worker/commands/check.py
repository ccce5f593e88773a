"""``uploadmill check``: whatever could go wrong on this node, before it does."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from uploadmill.worker.checks.examine import examine
from uploadmill.worker.checks.finding import Finding, Level

#: How each level is shown, and its colour.
SHOWN = {
    Level.OK: ("ok", "green"),
    Level.WARNING: ("warn", "yellow"),
    Level.FAULT: ("FAULT", "red"),
}

#: Columns of a level and of a check's name.
LEVEL, NAME = 6, 20


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def check(*, as_json: bool) -> None:
    """Check this node: settings, servers, stores, libraries and limits.

    Each line says what is so; where something is wrong also why it matters and how to mend it.
    The exit status is 1 if there is a fault.
    """
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _show(finding)
    faults = sum(finding.level is Level.FAULT for finding in findings)
    if as_json:
        document = {"ok": not faults, "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(f"\n{faults} fault(s)." if faults else "\nNo faults.")
    if faults:
        raise SystemExit(1)


def _show(finding: Finding) -> None:
    word, colour = SHOWN[finding.level]
    click.secho(word.ljust(LEVEL), fg=colour, nl=False)
    click.echo(f"{finding.check.ljust(NAME)} {finding.what}")
    for title, text in (("why", finding.why), ("fix", finding.how)):
        if text:
            click.echo(f"{'':{LEVEL + NAME + 1}}{title}: {text}")

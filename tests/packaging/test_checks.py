"""The checks of `make check`: what they let pass, and what they must not."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import CHECKOUT

LICENCES = runpy.run_path(str(CHECKOUT / "scripts" / "licences.py"))

KNOWN_BAD = {
    "name": "leaky",
    "version": "1.0",
    "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}],
}
KNOWN_GOOD = {"name": "sound", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "sound", "version": "1.0", "skip_reason": "not found", "vulns": []}


def audit(folder: Path, answer: str) -> subprocess.CompletedProcess[str]:
    """Run the audit with a pip-audit that prints *answer*."""
    (folder / "answer").write_text(answer)
    (folder / "pip-audit").write_text(f"#!/bin/sh\ncat {folder}/answer\n")
    (folder / "pip-audit").chmod(0o755)
    return subprocess.run(
        [sys.executable, CHECKOUT / "scripts" / "audit.py", "lock.txt"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_known_vulnerability_fails_the_audit(tmp_path):
    run = audit(tmp_path, json.dumps({"dependencies": [KNOWN_GOOD, KNOWN_BAD]}))

    assert 1 == run.returncode
    assert "leaky 1.0: CVE-1, fixed in 1.1" in run.stdout


def test_sound_packages_pass_the_audit(tmp_path):
    run = audit(tmp_path, json.dumps({"dependencies": [KNOWN_GOOD]}))

    assert (0, "lock.txt: 1 of 1 packages audited\n") == (run.returncode, run.stdout)


@pytest.mark.parametrize(
    "answer",
    ["", "no route to host", json.dumps({"dependencies": [UNKNOWN]})],
    ids=["silence", "an error", "a service that knows no package"],
)
def test_an_audit_that_did_not_happen_is_said_and_is_no_failure(tmp_path, answer):
    run = audit(tmp_path, answer)

    assert 0 == run.returncode
    assert "NOT AUDITED" in run.stdout


@pytest.mark.parametrize(
    "licence", ["MIT", "BSD-3-Clause", "Apache Software License; BSD License", "MIT-CMU", "PSF-2.0"]
)
def test_a_permissive_licence_passes(licence):
    assert LICENCES["is_permissive"](licence)


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-only", "MIT AND AGPL-3.0", "MPL-2.0", "SSPL-1.0", "UNKNOWN", "Proprietary"]
)
def test_any_other_licence_does_not(licence):
    assert not LICENCES["is_permissive"](licence)


def test_every_runtime_dependency_stands_in_the_document_with_its_licence():
    assert (
        0
        == subprocess.run(
            [sys.executable, "scripts/licences.py"],
            cwd=CHECKOUT,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            check=False,
        ).returncode
    )

"""Look the locked versions up in the public advisories; exit 1 only for what is found there.

Usage: audit.py LOCK…    A service that cannot be reached is said, and is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys

#: Seconds for one answer of the advisory service, and for a whole lock file.
ANSWER_TIMEOUT, FILE_TIMEOUT = 10, 180


def audit(lock: str) -> tuple[list[str], str]:
    """Findings in one lock file, and a sentence on what was looked up."""
    command = ["pip-audit", "--disable-pip", "--require-hashes", "--requirement", lock]
    command += ["--format=json", "--progress-spinner=off", f"--timeout={ANSWER_TIMEOUT}"]
    try:
        run = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=FILE_TIMEOUT
        )
        packages = json.loads(run.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return [], "NOT AUDITED: the advisory service did not answer in time"
    except ValueError:
        reason = (run.stderr.strip() or f"exit {run.returncode}").splitlines()[-1]
        return [], f"NOT AUDITED: the advisory service cannot be reached ({reason})"
    known = [package for package in packages if "skip_reason" not in package]
    findings = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in "
        f"{', '.join(found['fix_versions']) or 'no version yet'}"
        for package in known
        for found in package["vulns"]
    ]
    if not known:
        return [], f"NOT AUDITED: the service here knows none of {len(packages)} packages"
    return findings, f"{len(known)} of {len(packages)} packages audited"


def main() -> int:
    """Audit each lock file named."""
    findings = []
    for lock in sys.argv[1:]:
        found, said = audit(lock)
        findings += found
        print(f"{lock}: {said}")
    print(*findings, sep="\n", end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

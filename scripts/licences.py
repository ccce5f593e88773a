"""Check that docs/licences.md lists every installed runtime dependency with its true licence.

The dependencies are those of ``uploadmill[all]``, walked through the installed metadata. With
``--rows`` the table's rows are printed instead.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DOCUMENT = Path("docs/licences.md")

#: Words of the licences that pass, and of those that do not, whatever else is said beside them.
PERMISSIVE = re.compile(r"apache|bsd|\bmit\b|\bisc|psf|python software|zlib|hpnd", re.IGNORECASE)
COPYLEFT = re.compile(r"gpl|general public|mpl|mozilla|eupl|cddl|sspl", re.IGNORECASE)

#: Copyleft all the same: the document says why.
EXCEPTIONS = {"certifi", "pyclamd"}


def runtime_dependencies() -> set[str]:
    """Names of all packages that ``uploadmill[all]`` brings on this platform."""
    found: set[str] = set()
    waiting = [("uploadmill", frozenset({"all"}))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            required = requires(name) or []
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed: run make setup") from None
        found.add(name)
        waiting += [
            (canonicalize_name(requirement.name), frozenset(requirement.extras))
            for requirement in map(Requirement, required)
            if _applies(requirement, extras)
        ]
    return found - {"uploadmill"}


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def installed_licences(names: set[str]) -> dict[str, str]:
    """The licence each package declares, as pip-licenses reads it."""
    command = ["pip-licenses", "--from=mixed", "--format=json", "--with-system"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    licences = {canonicalize_name(row["Name"]): row["License"] for row in listed}
    return {name: licences.get(name, "UNKNOWN") for name in sorted(names)}


def documented_licences() -> dict[str, str]:
    """The rows of the document's table: package and licence."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", DOCUMENT.read_text(), re.MULTILINE)
    return dict(rows)


def mistakes() -> list[str]:
    """What is wrong, one line each."""
    documented = documented_licences()
    found = []
    for name, licence in installed_licences(runtime_dependencies()).items():
        if documented.get(name) != licence:
            found.append(f"{name}: {DOCUMENT} says {documented.get(name)}, the package {licence}")
        if name not in EXCEPTIONS and not is_permissive(licence):
            found.append(f"{name}: {licence} is no permissive licence")
    return found


def is_permissive(licence: str) -> bool:
    """Whether a licence asks no more than naming its authors."""
    return bool(PERMISSIVE.search(licence)) and not COPYLEFT.search(licence)


def main() -> int:
    """Check, or print the rows."""
    if "--rows" in sys.argv[1:]:
        for name, licence in installed_licences(runtime_dependencies()).items():
            print(f"| `{name}` | {licence} |")
        return 0
    found = mistakes()
    print(*found or [f"every runtime dependency stands in {DOCUMENT}"], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

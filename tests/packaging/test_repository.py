"""What must hold for the files of the repository."""

import re
import tomllib
from pathlib import Path

import pytest
from checkout import CHECKOUT, FOLDERS, tracked_files
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
LOCKS = ("build", "dev", "libmagic", "worker", "worker-stores")

#: Hosts of package registries, and paths of somebody's machine. The brackets keep these lines,
#: which are read too, from matching themselves.
FORBIDDEN = re.compile(
    r"pyp[i]\.org|python[h]osted\.org|registry\.npm[j]s|deb\.debia[n]\.org"
    r"|index-ur[l]|/(?:root|home|Users)/\w|/work/(?:main|shared)|/op[t]/(?:pypi|wheels)"
)


def locked(name: str) -> dict[str, list[str]]:
    """The versions that a lock file names for each package."""
    text = (CHECKOUT / "requirements" / f"{name}.txt").read_text()
    versions: dict[str, list[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([\w.!+]+)", text, re.MULTILINE):
        versions.setdefault(canonicalize_name(package), []).append(version)
    return versions


def direct_requirements() -> list[Requirement]:
    """What the project asks for itself, extras and tools included."""
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"]]
    lines += [line for name, extra in extras.items() if name != "all" for line in extra]
    for name in ("build", "dev"):
        text = (CHECKOUT / "requirements" / f"{name}.in").read_text()
        lines += [line for line in text.splitlines() if line and line[0] not in "#-"]
    return [Requirement(line) for line in lines]


def test_the_list_of_packages_equals_the_tree():
    folders = {name.parent for name in tracked_files() if name.suffix == ".py"}
    packages = {f"uploadmill.{'.'.join(folder.parts)}" for folder in folders if in_package(folder)}

    assert sorted(packages | {"uploadmill"}) == sorted(PROJECT["tool"]["setuptools"]["packages"])


def in_package(folder: Path) -> bool:
    return folder != Path() and folder.parts[0] in FOLDERS


def test_every_package_has_its_init_file():
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        assert (CHECKOUT / package.replace(".", "/") / "__init__.py").is_file(), package


def test_the_extra_all_names_every_other_extra():
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = map(Requirement, extras["all"])

    assert set(extras) - {"all"} == everything.extras


def test_the_lock_satisfies_what_the_project_asks_for():
    versions = locked("dev")

    stale = [
        str(requirement)
        for requirement in direct_requirements()
        if not any(
            requirement.specifier.contains(version)
            for version in versions.get(canonicalize_name(requirement.name), [])
        )
    ]

    assert [] == stale, "run make lock"


@pytest.mark.parametrize("lock", ["worker", "worker-stores"])
def test_a_deployment_gets_the_versions_that_were_tested(lock):
    tested = locked("dev")

    assert [] == [name for name, versions in locked(lock).items() if versions != tested[name]]


def test_every_locked_version_has_a_hash():
    for name in LOCKS:
        text = (CHECKOUT / "requirements" / f"{name}.txt").read_text()
        pins = re.findall(r"^[\w.-]+==.*\\\n +--hash=sha256:", text, re.MULTILINE)
        assert len(pins) == sum(map(len, locked(name).values())) > 0, name


def test_no_file_names_a_registry_or_a_place_on_somebodys_machine():
    found = []
    for name in tracked_files():
        if (CHECKOUT / name).is_symlink():
            continue
        text = (CHECKOUT / name).read_bytes().decode("utf-8", errors="ignore")
        found += [f"{name}: {match[0]}" for match in FORBIDDEN.finditer(text)]

    assert [] == found

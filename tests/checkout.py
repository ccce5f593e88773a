"""This checkout: its files, a copy of it, and commands that run where it cannot be imported."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.missing import missing

CHECKOUT = Path(__file__).parents[1]
#: The locked packages as they were published, and wheels of those that are published as source.
WHEELHOUSE = CHECKOUT / "wheelhouse"
BUILT = WHEELHOUSE / "built"

#: The folders that uploadmill/ holds links to.
FOLDERS = ("backends", "producer", "tasks", "worker")

#: Variables that would let the checkout, the coverage or the developer's settings leak in.
LEAKS = ("PYTHON", "COV_", "COVERAGE_", "UPLOADMILL_", "PIP_", "VIRTUAL_ENV", "REDIS_", "CELERY_")


def tracked_files() -> list[Path]:
    """The files that are in git or about to be, relative to the checkout."""
    if not (CHECKOUT / ".git").exists():
        missing("a git checkout", "clone the repository")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True)
    names = {Path(name) for name in listed.stdout.split("\0") if name}
    return sorted(name for name in names if os.path.lexists(CHECKOUT / name))


def package_files() -> set[str]:
    """Where each file of the package belongs in a wheel."""
    suffixes = (".py", ".lua", ".typed")
    files = [name for name in tracked_files() if name.suffix in suffixes]
    linked = {f"uploadmill/{name}" for name in files if name.parts[0] in FOLDERS}
    return linked | {str(name) for name in files if name.parts[0] == "uploadmill"}


def copy_to(folder: Path) -> Path:
    """Copy the checkout, its links as links."""
    for name in tracked_files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target, follow_symlinks=False)
    return folder


def outside(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in *folder*, where nothing of the checkout can be imported by accident."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(LEAKS)}
    return subprocess.run(
        command, cwd=folder, env=clean, check=False, capture_output=True, text=True, timeout=600
    )


def said_by(run: subprocess.CompletedProcess[str]) -> str:
    """What a command that must succeed printed."""
    assert 0 == run.returncode, run.stdout + run.stderr
    return run.stdout


def need_wheelhouse() -> None:
    """Skip the test, or fail it, where nothing can be installed from."""
    if not (WHEELHOUSE / ".stamp").exists():
        missing("the wheelhouse", "run scripts/wheelhouse")


def build(tree: Path, target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build *tree* offline, with the setuptools of the running environment."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", target, *options, tree]
    return outside(command, tree.parent)


@dataclass(frozen=True)
class Environment:
    """A virtual environment with nothing in it but what a test asked for, not even pip."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Environment":
        said_by(outside([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent))
        return cls(folder)

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    def install(self, requirement: str) -> None:
        need_wheelhouse()
        pip = [sys.executable, "-m", "pip", "--isolated", "--python", self.program("python")]
        offline = ["--no-index", "--find-links", WHEELHOUSE, "--find-links", BUILT]
        # Modules are compiled as they are imported: most never are.
        options = ["--quiet", "--no-compile", *offline]
        said_by(outside([*pip, "install", *options, requirement], self.folder))

"""A checkout made ready where there is no uv, and where there is no libmagic."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import LEAKS, WHEELHOUSE, copy_to, need_wheelhouse, said_by

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

#: What `import uploadmill` needs, and what comes as source only.
FEW = {
    *("pydantic", "pydantic-core", "annotated-types", "typing-extensions", "typing-inspection"),
    "pyclamd",
}

#: Says which types the validate step sees in three files.
DETECT = """
from pathlib import Path
from PIL import Image
from uploadmill import Validate
from uploadmill.tasks.validate import validate

files = [Path("a.jpg"), Path("a.pdf"), Path("a.txt")]
Image.new("RGB", (8, 8)).save(files[0])
files[1].write_bytes(b"%PDF-1.7 startxref 0 %%EOF")
files[2].write_bytes(b"Twelve boxing champions")
options = Validate(types=["image/jpeg", "application/pdf", "text/plain"])
print(*(validate(file, options).content_type for file in files))
"""


def lock_few(lock: Path) -> None:
    """Leave of a lock file what few packages need, as it is locked."""
    blocks = re.split(r"^(?=\w)", lock.read_text(), flags=re.MULTILINE)
    locked = {block.partition("==")[0]: block for block in blocks}
    lock.write_text("".join(locked[name] for name in sorted(FEW)))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    need_wheelhouse()
    return copy_to(tmp_path / "copy")


def run(tree: Path, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in *tree*, with the wheelhouse as the only place that packages come from."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(LEAKS)}
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELHOUSE)}
    return subprocess.run(
        command,
        cwd=tree,
        env={**clean, **pip, "PIP_NO_COMPILE": "1", **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_a_machine_without_uv_is_set_up_by_plain_pip(tree, tmp_path):
    # Given a uv that does not run, and an interpreter
    lock_few(tree / "requirements" / "dev.txt")
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "uv").write_text("#!/bin/sh\nexit 127\n")
    (commands / "uv").chmod(0o755)
    (commands / f"python{VERSION}").symlink_to(Path(sys.executable).resolve())
    path = f"{commands}:{os.environ['PATH']}"

    # When an environment is set up, twice
    first = run(tree, "scripts/setup", ".venv", "3.99", VERSION, PATH=path)
    again = run(tree, "scripts/setup", ".venv", "3.99", VERSION, PATH=path)

    # Then it is made once, by pip, and holds this checkout and what was locked
    said_by(first)
    assert "Setting up .venv" in first.stderr
    assert ("", "") == (said_by(again), again.stderr)
    code = "import pyclamd, uploadmill; print(uploadmill.__file__)"
    found = run(tree.parent, tree / ".venv" / "bin" / "python", "-c", code)
    assert f"{tree}/uploadmill/__init__.py\n" == said_by(found)
    installers = tree.glob(".venv/lib/python3.*/site-packages/*.dist-info/INSTALLER")
    assert {"pip"} == {name.read_text().strip() for name in installers}


@pytest.fixture
def without_libmagic(tree, tmp_path):
    """An environment with all packages, and a libmagic of the system that cannot be loaded."""
    said_by(run(tree, sys.executable, "-m", "venv", "--without-pip", ".venv"))
    (site,) = tree.glob(".venv/lib/python3.*/site-packages")
    (packages,) = Path(sys.prefix).glob("lib/python3.*/site-packages")
    (site / "all.pth").write_text(f"import site; site.addsitedir({str(packages)!r})\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libmagic.so.1").write_bytes(b"")
    return {"LD_LIBRARY_PATH": str(tmp_path / "lib"), "PYTHONPATH": str(tree)}


@pytest.mark.skipif(sys.platform != "linux", reason="pylibmagic is for Linux")
def test_without_a_libmagic_types_are_detected_with_the_one_of_a_wheel(tree, without_libmagic):
    detect = [tree / ".venv" / "bin" / "python", "-c", DETECT]
    alone = run(tree, *detect, **without_libmagic)
    assert "ImportError: failed to find libmagic" in alone.stderr

    helped = run(tree, "scripts/with-libmagic", *detect, **without_libmagic)

    assert "image/jpeg application/pdf text/plain\n" == said_by(helped)
    assert "the one inside the pylibmagic wheel" in helped.stderr
    assert list(tree.glob(".venv/lib/python3.*/site-packages/pylibmagic/libmagic.so*"))

"""A copy that has lost its links, as a zip download does."""

import subprocess
from pathlib import Path

import pytest
from checkout import CHECKOUT, FOLDERS, build


def remove(link: Path) -> None:
    link.unlink()


def replace_by_text(link: Path) -> None:
    """What git writes where it cannot make links, and some unzip programs too."""
    target = str(link.readlink())
    link.unlink()
    link.write_text(target)


LOSSES = [remove, replace_by_text]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("lost", [FOLDERS, ("tasks",)], ids=["all", "one"])
def test_a_tree_without_its_links_does_not_build_and_says_why(tree, tmp_path, lose, lost):
    for name in lost:
        lose(tree / "uploadmill" / name)

    run = build(tree, tmp_path / "dist", "--wheel")

    assert 1 == run.returncode
    assert f"uploadmill/{lost[0]}" in run.stdout + run.stderr
    assert [] == list((tmp_path / "dist").glob("*.whl"))


@pytest.mark.parametrize("lose", LOSSES)
def test_make_says_first_what_is_lost_and_how_to_get_it(tree, lose):
    lose(tree / "uploadmill" / "worker")

    run = check_links(tree)

    assert 1 == run.returncode
    assert "uploadmill/worker" in run.stderr
    assert "Clone with git" in run.stderr


def test_a_whole_copy_passes(tree):
    assert 0 == check_links(tree).returncode


def check_links(folder: Path) -> subprocess.CompletedProcess[str]:
    program = CHECKOUT / "scripts" / "check-links"
    return subprocess.run([program, folder], check=False, capture_output=True, text=True)

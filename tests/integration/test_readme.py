"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from checkout import CHECKOUT
from pictures import photograph
from PIL import Image

README = (CHECKOUT / "README.md").read_text()
STORAGE = (CHECKOUT / "docs" / "storage.md").read_text()

PROGRAMS, STORAGE_PROGRAMS = (
    re.findall(r"```python\n(.*?)```", page, re.DOTALL) for page in (README, STORAGE)
)


@pytest.fixture
def at_home(tmp_path, monkeypatch, redis_url, clamd):
    """A folder with a photograph, and settings that lead to this test's servers."""
    (tmp_path / "holiday.jpg").write_bytes(photograph(800, 600))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPLOADMILL_REDIS_URL", redis_url)
    monkeypatch.setenv("UPLOADMILL_SCANNER__ADDRESS", clamd.address)
    for role in ("staging", "primary", "secondary", "quarantine"):
        monkeypatch.setenv(f"UPLOADMILL_{role.upper()}__URL", (tmp_path / role).as_uri())
    return tmp_path


def test_a_web_app_enqueues_as_the_readme_says(at_home):
    names: dict[str, object] = {}

    exec(PROGRAMS[0], names)  # noqa: S102 - our own README

    uploads, job = names["uploads"], names["job"]
    assert "accepted" == uploads.status(job.id).state
    uploads.close()


def test_a_pipeline_runs_in_process_as_the_readme_says(at_home):
    exec(PROGRAMS[1], {})  # noqa: S102 - our own README

    with Image.open(at_home / "large.jpg") as picture:
        assert (800, 600) == picture.size


def test_a_store_is_used_without_a_worker_as_its_page_says(tmp_path, monkeypatch, capsys):
    (tmp_path / "holiday.jpg").write_bytes(photograph(80, 60))
    monkeypatch.chdir(tmp_path)
    program = STORAGE_PROGRAMS[0].replace("file:///var/tmp/media", (tmp_path / "media").as_uri())

    exec(program, {})  # noqa: S102 - our own page

    assert (tmp_path / "holiday.jpg").read_bytes() == (tmp_path / "copy.jpg").read_bytes()
    said = capsys.readouterr().out.split()
    assert ("image/jpeg", "https://cdn.example.com/2026/holiday.jpg") == (said[1], said[3])
    assert "archive/holiday.jpg" == said[4]
    assert not (tmp_path / "media" / "archive").exists()


def test_a_back_end_is_proved_as_its_page_says():
    exec(STORAGE_PROGRAMS[1], {})  # noqa: S102 - our own page


@pytest.mark.parametrize("page", ["README.md", "docs/storage.md"])
def test_every_page_that_a_page_names_is_there(page):
    path = CHECKOUT / page
    named = re.findall(r"\]\(([^)#]+)\)", path.read_text())

    assert [] == [page for page in named if not Path(path.parent, page).exists()]

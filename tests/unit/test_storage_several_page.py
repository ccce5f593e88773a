"""What docs/storage-several.md shows is what happens."""

from __future__ import annotations

import os
import re

from checkout import CHECKOUT

PAGE = CHECKOUT / "docs" / "storage-several.md"


def test_its_programs_run_one_after_another(monkeypatch, tmp_path, capsys):
    for name in [*os.environ]:
        if name.startswith("UPLOADMILL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}

    for program in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(program, names)  # noqa: S102 - our own page

    said = capsys.readouterr().out.splitlines()
    # Where the two stores share, the picture was in one of them.
    assert "3" == said[0]
    assert said[1:] in ([], ["picture.jpg has moved"])


def test_every_page_that_it_names_is_there():
    named = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text())

    assert [] == [page for page in named if not (PAGE.parent / page).exists()]

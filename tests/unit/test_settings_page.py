"""docs/settings.md shows every setting there is, with its present default."""

from __future__ import annotations

import importlib.util
from pathlib import Path

TOP = Path(__file__).parents[2]


def test_the_page_is_what_the_settings_say():
    spec = importlib.util.spec_from_file_location("page", TOP / "scripts" / "settings_table.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.page() == (TOP / "docs" / "settings.md").read_text(), (
        "run scripts/settings_table.py"
    )

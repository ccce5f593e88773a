"""A world of ended jobs for each test that plants something in one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.world import World, world


@pytest.fixture
def ended(tmp_path: Path, redis_url: str) -> Iterator[World]:
    with world(tmp_path, redis_url) as made:
        yield made

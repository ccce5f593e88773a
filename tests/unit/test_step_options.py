"""A step's frozen options, read by a worker that may be older than the plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from uploadmill.errors import UnknownStep
from uploadmill.pipeline import Optimize
from uploadmill.tasks.base import options_of
from uploadmill.tasks.work import Work


def work(**options: object) -> Work:
    nowhere = Path("nowhere")
    return Work("optimize", options, nowhere, "1-a", files={}, facts={}, original=nowhere)


def test_options_are_read_as_their_model_has_them():
    assert Optimize(quality=50) == options_of(work(quality=50), Optimize)


@pytest.mark.parametrize("options", [{"sharpness": 3}, {"format": "jxl"}], ids=str)
def test_an_option_of_a_newer_version_leaves_the_step_to_a_newer_worker(options):
    with pytest.raises(UnknownStep, match="does not know all of its options"):
        options_of(work(**options), Optimize)

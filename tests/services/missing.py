"""What a test does without its server: it skips on a laptop and fails in CI."""

import os
from typing import NoReturn

import pytest


def missing(service: str, remedy: str = "") -> NoReturn:
    """End the running test, or fixture, because *service* is not installed here."""
    message = f"{service} is not installed" + (f": {remedy}" if remedy else "")
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)

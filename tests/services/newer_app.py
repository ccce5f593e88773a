"""The faulty application in its next version."""

from __future__ import annotations

from services import next_version
from services.faulty_app import app

__all__ = ["app"]

next_version.put_in()

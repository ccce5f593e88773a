"""uploadmill: uploads are scanned, checked, resized and stored exactly once, by Celery workers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uploadmill.backends.storage import open_storage as open_storage
    from uploadmill.pipeline import ExtractMetadata as ExtractMetadata
    from uploadmill.pipeline import Optimize as Optimize
    from uploadmill.pipeline import Resize as Resize
    from uploadmill.pipeline import Scan as Scan
    from uploadmill.pipeline import Validate as Validate
    from uploadmill.producer import Uploads as Uploads
    from uploadmill.tasks.pipeline import Pipeline as Pipeline

#: Where each public name lives; imported when it is first used, so that a producer does not
#: pay for Pillow and a worker not for web frameworks.
_HOMES = {
    "Uploads": "uploadmill.producer",
    "open_storage": "uploadmill.backends.storage",
    "Pipeline": "uploadmill.tasks.pipeline",
    "Validate": "uploadmill.pipeline",
    "Scan": "uploadmill.pipeline",
    "ExtractMetadata": "uploadmill.pipeline",
    "Resize": "uploadmill.pipeline",
    "Optimize": "uploadmill.pipeline",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'uploadmill' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)

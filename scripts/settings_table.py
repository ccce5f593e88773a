#!/usr/bin/env python
"""Print docs/settings.md: every setting with its variable, default and meaning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from uploadmill.settings import Settings, Table
from uploadmill.settings_sources import PREFIX

INTRODUCTION = """\
# Settings

Every setting is a key of `uploadmill.toml` (or of the file that `UPLOADMILL_CONFIG` names), or a
variable: `UPLOADMILL_` and its name in capitals, two underscores between a table and its key. A
variable wins over the file. In a variable a list or a table is written as JSON, and any other value
stands as it is. `REDIS_URL` gives `redis_url`, and `CELERY_BROKER_URL` gives `broker_url`, where
neither the file nor our own variable does.

A name that is not listed here is a mistake, and so is a value that cannot work: an address that is
none, times in the wrong order. Every command, `Uploads()` and a worker end with all mistakes at
once, and show no address or secret. A worker also opens its stores and its scanner, and spells out
its pipelines, before it takes a job: a missing package or an unreadable key file is said then.
`uploadmill check` tells whether the settings work.

```toml
redis_url = "redis://127.0.0.1:6379/0"

[primary]
url = "s3://pictures/uploads"
public_url = "https://cdn.example.com/uploads"

[pipelines.receipts]
steps = [
    "validate",
    "scan",
    {step = "resize", small = "800x800"},
    {step = "optimize", quality = 80},
]
```
"""


def tables(model: type[BaseModel], name: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Each table of settings with its name; the same kind of store only once."""
    yield name, model
    for field_name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Table):
            yield from tables(kind, field_name)


def kind_of(field: FieldInfo) -> str:
    """The type of a setting as people say it."""
    text = str(getattr(field.annotation, "__name__", field.annotation))
    for shown in ("SecretStr", "float", "Path", "bool", "int", "str"):
        if shown in text:
            return {"SecretStr": "secret", "float": "number", "int": "whole number"}.get(
                shown, {"str": "text", "Path": "path"}.get(shown, shown)
            )
    return "table"


def default_of(value: Any) -> str:
    """A default as the file would have it."""
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = f"{value:.15g}" if isinstance(value, float) else str(value)
    return f"`{text}`" if text else ""


def row(table: str, name: str, field: FieldInfo) -> str:
    """One setting as a line of a table."""
    variable = PREFIX + "__".join(filter(None, (table, name))).upper()
    default = "" if field.is_required() or field.default_factory else default_of(field.default)
    return f"| `{name}` | {kind_of(field)} | {default} | {field.description or ''} | `{variable}` |"


def page() -> str:
    """The whole page."""
    parts, stores = [INTRODUCTION], 0
    for table, model in tables(Settings):
        if "url" in model.model_fields and table:
            stores += 1
            if stores > 1:
                continue
        title = f"`[{table}]`" if table else "At the top"
        if stores == 1 and "url" in model.model_fields:
            title = "`[staging]`, `[primary]`, `[secondary]`, `[quarantine]`"
        plain = {
            name: field
            for name, field in model.model_fields.items()
            if not (isinstance(field.annotation, type) and issubclass(field.annotation, Table))
        }
        parts.append(f"\n## {title}\n")
        if model.__doc__ and table:
            parts.append(f"{model.__doc__.splitlines()[0]}\n")
        parts.append("| setting | kind | default | meaning | variable |\n|---|---|---|---|---|")
        parts += [row(table, name, field) for name, field in plain.items()]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    Path("docs/settings.md").write_text(page())

"""Where settings come from, and what is wrong with them.

From lowest to highest: defaults, ``REDIS_URL`` and ``CELERY_BROKER_URL``, ``uploadmill.toml`` (or
the file that ``UPLOADMILL_CONFIG`` names), then ``UPLOADMILL_…`` variables, two underscores between
a table and its key: ``UPLOADMILL_PRIMARY__URL``.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

PREFIX = "UPLOADMILL_"
CONFIG_VARIABLE = "UPLOADMILL_CONFIG"
DEFAULT_FILE = "uploadmill.toml"

#: Variables of the ecosystem that are honoured where we have not been told ourselves, and the
#: setting each one gives: an app may have them for its cache, or for tasks of its own.
FOREIGN_VARIABLES = {"REDIS_URL": "redis_url", "CELERY_BROKER_URL": "broker_url"}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the value of a variable goes.

    Attributes:
        path: The tables, and the name of the setting.
        several: Whether it is a list or a table, which a variable has as JSON.
    """

    path: tuple[str, ...]
    several: bool


def given(
    settings: type[BaseModel], environ: Mapping[str, str], problems: list[str]
) -> dict[str, Any]:
    """What file and environment say, as nested dictionaries.

    Args:
        settings: What there is to set: a model whose tables are models.
        environ: The environment.
        problems: Gets a line for each mistake.
    """
    foreign = {
        name: environ[variable]
        for variable, name in FOREIGN_VARIABLES.items()
        if environ.get(variable)
    }
    raw = foreign | _read_file(environ, problems)
    _overlay_environment(raw, dict(_variables(settings)), environ, problems)
    return raw


def _read_file(environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """The settings file as nested dictionaries; a missing default file is an empty one."""
    named = environ.get(CONFIG_VARIABLE)
    path = Path(named or DEFAULT_FILE)
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        if named:
            problems.append(f"{CONFIG_VARIABLE}: there is no file {named}")
    except (OSError, ValueError) as error:
        problems.append(f"{path}: {error}")
    return {}


def _overlay_environment(
    raw: dict[str, Any],
    known: Mapping[str, _Place],
    environ: Mapping[str, str],
    problems: list[str],
) -> None:
    """Put every ``UPLOADMILL_…`` variable into *raw*; an unknown one is a problem."""
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable not in known:
            problems.append(f"{variable}: no such setting{_alternatives(variable, known)}")
            continue
        try:
            read = json.loads(value) if known[variable].several else value
        except ValueError as error:
            problems.append(
                f"{variable}: not valid JSON, which a list or table is given as: {error}"
            )
            continue
        _put(raw, known[variable].path, read)


def _put(raw: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *tables, name = path
    for table in tables:
        raw = raw.setdefault(table, {})
        if not isinstance(raw, dict):
            return  # the file has something else there, which is a mistake in itself
    raw[name] = value


def _variables(table: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, _Place]]:
    """Each environment variable there can be, with the place of the setting it gives."""
    for name, field in table.model_fields.items():
        kind, here = field.annotation, (*path, name)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _variables(kind, here)
        else:
            several = any(get_origin(each) in (tuple, dict) for each in (kind, *get_args(kind)))
            yield PREFIX + "__".join(here).upper(), _Place(here, several)


def explained(settings: type[BaseModel], error: Any) -> str:
    """One validation error as a line that names the setting."""
    where = ".".join(str(part) for part in error["loc"]) or "settings"
    if error["type"] in ("model_type", "dict_type"):
        if not all(isinstance(part, str) for part in error["loc"]):
            return f"{where}: write a step's name, or a table {{step = its name, and its options}}"
        return f"{where}: it is a table; write [{where}], and its settings below that"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg'].removeprefix('Value error, ')}"
    table = settings
    for part in error["loc"][:-1]:
        field = table.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type):
            return f"{where}: no such setting"
        if issubclass(field.annotation, BaseModel):
            table = field.annotation
    return f"{where}: no such setting{_alternatives(str(error['loc'][-1]), table.model_fields)}"


def _alternatives(name: str, known: Mapping[str, Any]) -> str:
    """The known names nearest to *name*, or all where none is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are: {', '.join(known)}"

"""The worker's application for chaos: the product's own, with faults put into it from outside.

The variable ``CHAOS`` holds a JSON object; each key switches one kind of fault on:

* ``armed``      a folder of faults for single jobs at named points: :mod:`chaos.points`
* ``parts``      the same at points of uploads to S3 by parts: :mod:`chaos.parts`
* ``publishing`` how messages are lost, doubled and delayed: :mod:`chaos.publishing`
* ``clock``      seconds by which it is wrong: :mod:`chaos.clock`
* ``ballast``    a file that stands for a full disk: :mod:`chaos.disk`
* ``entries``    a file in which every entry into a step's function is noted: :mod:`chaos.entries`
* ``poison``     files that kill or hang whoever decodes them: :mod:`chaos.poison`
* ``next``       it is the product's next version: :mod:`services.next_version`
* ``without``    rules of the protocol that are switched off, for negative controls
* ``calm``       none but the four before: the faults have stopped
"""

from __future__ import annotations

import json
import os
from typing import Any

from services import next_version

from chaos import clock, controls, disk, entries, parts, points, poison, publishing
from uploadmill.worker.celery_app import app

__all__ = ["app"]


def put_in(faults: dict[str, Any]) -> None:
    """Change the product's functions in this process and all its children."""
    _lasting(faults)
    if faults.get("calm"):
        return
    if "armed" in faults:
        points.put_in(faults["armed"])
    if "parts" in faults:
        parts.put_in(faults["parts"])
    if "clock" in faults:
        clock.put_in(faults["clock"])
    if "ballast" in faults:
        disk.put_in(faults["ballast"])
    if "publishing" in faults:
        publishing.put_in(**faults["publishing"])


def _lasting(faults: dict[str, Any]) -> None:
    """What stays when the faults have stopped."""
    for rule in faults.get("without", ()):
        controls.switch_off(rule)
    if faults.get("next"):
        next_version.put_in()
    if faults.get("poison"):
        poison.put_in()
    if "entries" in faults:
        entries.put_in(faults["entries"])


put_in(json.loads(os.environ.get("CHAOS", "{}")))

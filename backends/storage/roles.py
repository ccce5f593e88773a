"""The stores by their role, and where a job's things lie in them."""

from __future__ import annotations

from dataclasses import dataclass

from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.breaker import Breakers, unwatched
from uploadmill.job import Placement


@dataclass(frozen=True, slots=True)
class Stores:
    """One store for each role.

    Attributes:
        staging: Staged bytes, envelopes and outcomes; the arbiter of how a job ended.
        primary: Where outputs go.
        secondary: Where all of a job's outputs go when the primary is unavailable.
        quarantine: Where infected and unscannable bytes are kept.
        prefix: What the keys of all outputs start with; empty or ending in a slash.
        breakers: The output stores' breakers, by the stores' names.
    """

    staging: Storage
    primary: Storage
    secondary: Storage
    quarantine: Storage
    prefix: str = ""
    breakers: Breakers = unwatched

    def at(self, placement: Placement) -> Storage:
        """The output store that *placement* names."""
        return self.secondary if placement is Placement.SECONDARY else self.primary

    def output_key(self, job_id: str, name: str) -> str:
        """The key of something a job stores."""
        return f"{self.prefix}{job_id}/{name}"

    def result_key(self, job_id: str) -> str:
        """The key of a job's ``result.json``: a store that has it has all the job's outputs."""
        return self.output_key(job_id, "result.json")

"""The outputs that are there although their job has ended without naming them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploadmill.job import Outcome

if TYPE_CHECKING:
    from protocol.things import Things


@dataclass(frozen=True)
class Put:
    """What is known of an output since it was first seen.

    Attributes:
        late: Its job had ended by then.
        forgot: How often Redis had forgotten something.
    """

    late: bool
    forgot: int


class InVain:
    """Remembers when each output came, and tells which are to go when their job is looked at.

    Not so what collection is there for: it was put when the job had ended, perhaps behind that
    look, by a run that then died; or Redis has forgotten that there was such a run.
    """

    def __init__(self, world: Things) -> None:
        self.world = world
        self._put: dict[tuple[str, str], Put] = {}
        #: All there ever were, by store and key.
        self.seen: set[tuple[str, str]] = set()

    def look(self, outcomes: dict[str, Outcome]) -> None:
        """See what has come and gone."""
        there = [
            (role, key)
            for role in ("primary", "secondary")
            for key, _ in self.world.objects(role, self.world.prefix)
        ]
        now = {key: Put(job_of(key) in outcomes, self.world.forgot) for _, key in there}
        self._put = {place: self._put.get(place, now[place[1]]) for place in there}
        self.seen.update(place for place in there if self._is_one(outcomes, place))

    def left(self, outcomes: dict[str, Outcome]) -> list[str]:
        """The keys of those that are there now."""
        return [place[1] for place in self._put if self._is_one(outcomes, place)]

    def _is_one(self, outcomes: dict[str, Outcome], place: tuple[str, str]) -> bool:
        put, key = self._put[place], place[1]
        outcome = outcomes.get(job_of(key))
        if outcome is None or put.late or put.forgot < self.world.forgot:
            return False
        # Killed, and Redis did not know it any more when it put this.
        strangers = any(
            worker.killed and worker.job_id == job_of(key) and worker.forgot < put.forgot
            for worker in self.world.workers
        )
        return not strangers and not names(outcome, key)


def names(outcome: Outcome, key: str) -> bool:
    """Whether an end names what lies under *key*."""
    named = {output.key for output in outcome.result.outputs.values()}
    return outcome.placed is not None and (key in named or key.endswith("/result.json"))


def job_of(key: str) -> str:
    """Whose output, envelope or outcome it is."""
    return key.split("/")[1].removesuffix(".json")

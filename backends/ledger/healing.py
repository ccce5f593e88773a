"""Go through the jobs that are to be healed, and find those that the queue does not know."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice

from pydantic import ValidationError

from uploadmill.backends.ledger import heal_queue
from uploadmill.backends.ledger.heal import Did, Healer
from uploadmill.backends.ledger.own_keys import output_of
from uploadmill.backends.ledger.record import Ended, Record
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.storage.breaker import admitted
from uploadmill.errors import (
    IntegrityError,
    InvalidSettings,
    LedgerUnavailable,
    StorageUnavailable,
    UploadmillError,
)
from uploadmill.job import Placement
from uploadmill.settings import HealSettings

log = logging.getLogger("uploadmill.heal")

#: Jobs in a row that meet an outage before the rest is left for later: a store may refuse now and
#: then, but one that does so three times is out.
OUTAGE = 3

#: Jobs asked for in Redis together.
PIECE = 256


@dataclass(slots=True)
class Healed:
    """What healing did, in jobs; or, in a dry run, what it would do.

    Attributes:
        copied: On the primary now.
        bytes: Of their outputs, copied.
        cleared: Their copy on the secondary is gone, or what they had put in vain.
        waiting: On the primary; their copy stays until the grace is over.
        postponed: To be tried again: a store was out, or somebody still works on them.
        gone: There was nothing of them to heal.
        recalled: Their outputs are no longer to be seen anywhere.
        damaged: Bytes are missing or wrong; nothing was deleted, and a person has to look.
        refused: A store does not give or take an output as it is; they stay, whole, on the
            secondary, and a person has to look.
        unfinished: Why the rest was left for later.
    """

    dry_run: bool = False
    copied: int = 0
    bytes: int = 0
    cleared: int = 0
    waiting: int = 0
    postponed: int = 0
    gone: int = 0
    recalled: int = 0
    damaged: int = 0
    refused: int = 0
    unfinished: list[str] = field(default_factory=list)

    def count(self, did: Did) -> None:
        """One more job."""
        setattr(self, did, getattr(self, did) + 1)


def heal(settler: Settler, settings: HealSettings, *, everything: bool = False) -> Healed:
    """Heal what is due, as long as the stores answer.

    Args:
        settler: The stores and the ledger.
        settings: The pace.
        everything: Also try what was put off. What waits for its grace goes on waiting.

    Raises:
        LedgerUnavailable: Redis does not serve us.
        InvalidSettings: Primary and secondary are the same place.
    """
    report = Healed()
    healer = Healer(settler, settings)
    failed: set[str] = set()
    try:
        for store in (settler.stores.primary, settler.stores.secondary):
            # While commits find the store out, nobody is to ask it for anything else.
            with admitted(settler.stores.breakers(store.name), store.name):
                store.ping()
        _go_through(healer, report, _due(settler, failed), failed, due=True)
        if everything:
            others = (each for each in heal_queue.queued(settler.ledger) if each not in failed)
            _go_through(healer, report, others, failed, due=False)
    except StorageUnavailable as error:
        report.unfinished.append(str(error))
    report.bytes = healer.copier.bytes
    if report.unfinished:
        log.warning("healing_unfinished", extra={"reason": report.unfinished[0]})
    return report


def _due(settler: Settler, failed: Collection[str]) -> Iterator[str]:
    """Each job that is due, until one with which it did not go well is due again."""
    while (job_id := heal_queue.next_due(settler.ledger)) and job_id not in failed:
        yield job_id


def _go_through(
    healer: Healer, report: Healed, jobs: Iterator[str], failed: set[str], *, due: bool
) -> None:
    """Heal one after another; notes in *failed* those with which it did not go well."""
    in_a_row = 0
    for job_id in jobs:
        healer.jobs.spend(1)
        try:
            did = healer.heal(job_id, due=due)
            in_a_row = 0
        except StorageUnavailable as error:
            did = "postponed"
            in_a_row += 1
            log.info("not_healed_yet", extra={"job": job_id, "reason": str(error)})
            if in_a_row == OUTAGE:
                report.count(did)
                raise
        except ValidationError:
            did = "postponed"
            log.warning("not_healed_yet", extra={"job": job_id, "reason": "of a newer version"})
        except (LedgerUnavailable, InvalidSettings):
            raise
        except UploadmillError as error:
            did = "damaged" if isinstance(error, IntegrityError) else "refused"
            healer.put_off(job_id)
            # Only this job's objects are at fault; the error says which, and a trace no more.
            event = "not_healed" if did == "damaged" else "healing_refused"
            log.error(event, extra={"job": job_id, "reason": str(error)})  # noqa: TRY400
        report.count(did)
        if did in ("postponed", "damaged", "refused"):
            failed.add(job_id)


def foresee(settler: Settler) -> Healed:
    """What is to be healed, as the ledger has it; nothing is changed, and no output looked at.

    Raises:
        LedgerUnavailable: Redis does not serve us.
        StorageUnavailable: The ledger has forgotten a job, and the staging store does not answer.
    """
    report = Healed(dry_run=True)
    for job_id in set(heal_queue.queued(settler.ledger)):
        record = settler.ledger.read(job_id)
        if isinstance(record, Record):
            report.count("postponed")
            continue
        decision = None if record else settler.decisions.outcome(job_id)
        outcome = record.outcome if record else decision.outcome if decision else None
        location = record.location if record else outcome.placed if outcome else None
        if location is Placement.SECONDARY or outcome is None:
            report.count("copied")
            outputs = outcome.result.outputs.values() if outcome else ()
            report.bytes += sum(made.size for made in outputs)
        else:
            report.count("waiting" if location is Placement.PRIMARY else "gone")
    return report


def find_stranded(settler: Settler) -> int:
    """Queue every job of which the secondary has something and the queue knows nothing.

    Redis may have lost the queue; a run that was frozen for long may have put its outputs there
    after all was over.

    Returns:
        How many were found.

    Raises:
        StorageUnavailable: The secondary does not list its objects.
        LedgerUnavailable: Redis does not serve us.
    """
    found = 0
    jobs = _on_secondary(settler)
    while piece := dict(islice(jobs, PIECE)):
        for job_id in heal_queue.unknown_of(settler.ledger, list(piece)):
            found += _queue(settler, job_id, piece[job_id])
    if found:
        log.info("stranded_jobs_found", extra={"jobs": found})
    return found


def _on_secondary(settler: Settler) -> Iterator[tuple[str, set[str]]]:
    """Each job that has objects there, with their keys."""
    stores = settler.stores
    for job_id, objects in groupby(
        (stat.key for stat in stores.secondary.list(stores.prefix)),
        key=lambda key: key.removeprefix(stores.prefix).partition("/")[0],
    ):
        keys = {key for key in objects if output_of(stores, key)}
        if keys:
            yield job_id, keys


def _queue(settler: Settler, job_id: str, keys: set[str]) -> bool:
    """Put one job into the queue, where something is to be done about it."""
    record = settler.ledger.read(job_id)
    result_key = settler.stores.result_key(job_id)
    if record is None:
        if result_key in keys:
            heal_queue.put(settler.ledger, [job_id], 0, only="new")
        return result_key in keys
    if not isinstance(record, Ended):
        return False
    named = {result_key, *(made.key for made in record.outcome.result.outputs.values())}
    if record.location is Placement.PRIMARY and not named.isdisjoint(keys):
        # A copy that may go, after a grace: the record may yet fall back to where it was.
        settler.ledger.relocate(job_id, Placement.PRIMARY, Placement.PRIMARY)
        return True
    if record.location is Placement.SECONDARY:
        heal_queue.put(settler.ledger, [job_id], 0, only="new")
        return True
    return False

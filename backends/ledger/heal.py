"""Bring home what failed over: copy, verify, switch the record; after a grace, delete the copy.

In every store, always: outputs first and ``result.json`` last, deletion the other way round. Each
action can be repeated, so a healer may be killed anywhere, and several may work on one job. What
runs have put in vain, and the job's outcome does not name, goes at once.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from uploadmill.backends.ledger import heal_queue, leftovers
from uploadmill.backends.ledger.decisions import read_document
from uploadmill.backends.ledger.heal_copy import Copier
from uploadmill.backends.ledger.heal_pace import Pace
from uploadmill.backends.ledger.record import Ended, Record
from uploadmill.backends.ledger.settle import Settler
from uploadmill.backends.ledger.whole import is_whole
from uploadmill.backends.storage.base import Storage
from uploadmill.errors import InvalidSettings, ObjectExists, ObjectNotFound
from uploadmill.job import JobResult, Placement
from uploadmill.settings import HealSettings
from uploadmill.wire import RECALLED

log = logging.getLogger("uploadmill.heal")

#: Seconds until a job is looked at again that a person has to look at first.
DAMAGED_AGAIN = 86_400.0

#: What came of one job: ``copied`` to the primary, which the record now names · ``cleared``, its
#: copy on the secondary is gone, or what it has put in vain · ``waiting`` until the copy may go ·
#: ``postponed``, somebody still works on it · ``gone``, there is nothing to heal · ``recalled``
#: meanwhile · ``damaged``: bytes are missing or not those that were stored, and nothing was
#: deleted · ``refused``: a store does not give or take an output as it is, with its access level
#: for one, and it stays where it is.
Did = Literal["copied", "cleared", "waiting", "postponed", "gone", "recalled", "damaged", "refused"]


@dataclass(frozen=True, slots=True)
class Lying:
    """Where a job's outputs are.

    Attributes:
        location: None for a job that stored nothing.
        recorded: The ledger has a record that says so.
    """

    result: JobResult
    location: Placement | None
    recorded: bool = True


class Healer:
    """Heals one job at a time.

    Args:
        settler: The stores and the ledger.
        settings: The pace.
    """

    def __init__(self, settler: Settler, settings: HealSettings) -> None:
        self.settler = settler
        self.ledger = settler.ledger
        self.primary = settler.stores.primary
        self.secondary = settler.stores.secondary
        self.jobs = Pace(settings.jobs_per_second)
        self.copier = Copier(self.primary, self.secondary, Pace(settings.bytes_per_second))
        self._apart = False

    def heal(self, job_id: str, *, due: bool = True) -> Did:
        """Do what is to be done about a job.

        Args:
            job_id: Of any job.
            due: Its time has come, so a healed job's copy may go.

        Raises:
            StorageUnavailable: A store is out; the job is due again.
            LedgerUnavailable: The same for the ledger.
            IntegrityError: A store has not the bytes that were stored.
            UploadmillError: A store does not take or give them as they are.
        """
        found = self._find(job_id)
        if not isinstance(found, Lying):
            return self._done(job_id, found)
        cleared = leftovers.clear(self.settler.stores, found.result)
        if found.location is Placement.SECONDARY:
            did = self._bring_home(job_id, found)
        elif found.location is Placement.PRIMARY:
            did = self._clear(job_id, found.result) if due else "waiting"
        else:
            did = "recalled" if found.location else "cleared" if cleared else "gone"
        return self._done(job_id, did)

    def put_off(self, job_id: str) -> None:
        """Leave a job alone for long: a person has to look at it."""
        heal_queue.put(self.ledger, [job_id], DAMAGED_AGAIN, only="old")

    def _done(self, job_id: str, did: Did) -> Did:
        if did in ("cleared", "gone", "recalled"):
            heal_queue.drop(self.ledger, job_id)
        elif did == "damaged":
            self.put_off(job_id)
        return did

    # -- where it is --------------------------------------------------------------------------

    def _find(self, job_id: str) -> Lying | Did:
        record = self.ledger.read(job_id)
        if isinstance(record, Record):
            # Its end is decided perhaps, and not written down: who settles it may rely on
            # finding its outputs where it has put them.
            return "postponed"
        if isinstance(record, Ended):
            return Lying(record.outcome.result, record.location)
        return self._find_without_record(job_id)

    def _find_without_record(self, job_id: str) -> Lying | Did:
        """The record has expired, or Redis forgot it."""
        key = self.settler.stores.result_key(job_id)
        at_home = read_document(self.primary, key)
        document = at_home or read_document(self.secondary, key)
        if document is None:
            return self._find_unpublished(job_id)
        decision = self.settler.decisions.outcome(job_id)
        if decision is None:
            location = Placement.PRIMARY if at_home else Placement.SECONDARY
            return Lying(JobResult.model_validate_json(document), location, recorded=False)
        ended = self.settler.remember(decision)
        if ended.location is Placement.PRIMARY:
            # Nobody knows since when: the grace begins anew.
            self.ledger.relocate(job_id, Placement.PRIMARY, Placement.PRIMARY)
            return "waiting"
        return Lying(ended.outcome.result, ended.location)

    def _find_unpublished(self, job_id: str) -> Lying | Did:
        """It has not ended, or otherwise than stored, or the web app has removed all of it."""
        if self.settler.decisions.envelope(job_id):
            return "postponed"
        decision = self.settler.decisions.outcome(job_id)
        if decision is None or decision.outcome.placed:
            return "gone"
        return Lying(decision.outcome.result, None, recorded=False)

    # -- home ---------------------------------------------------------------------------------

    def _bring_home(self, job_id: str, found: Lying) -> Did:
        result, key = found.result, self.settler.stores.result_key(job_id)
        try:
            for made in result.outputs.values():
                self.copier.copy(made)
            self.copier.copy_result(key)
        except ObjectNotFound as error:
            return self._missing(job_id, str(error))
        if self._is_recalled(job_id):
            return self._take_back(job_id, result)
        answer = self.ledger.relocate(job_id, Placement.SECONDARY, Placement.PRIMARY)
        if answer == Placement.RECALLED:
            return self._take_back(job_id, result)
        if answer == "unknown" and not found.recorded:
            grace = self.ledger.constants.heal_grace
            heal_queue.put(self.ledger, [job_id], grace, only="old")
        elif answer not in ("ok", Placement.PRIMARY):
            return "postponed"
        log.info("healed", extra={"job": job_id, "outputs": len(result.outputs)})
        return "copied"

    def _missing(self, job_id: str, reason: str) -> Did:
        """Something is on neither store; another healer, or the web app, may have been here."""
        record = self.ledger.read(job_id)
        if isinstance(record, Ended) and record.location is not Placement.SECONDARY:
            return "waiting"
        if next(self.secondary.list(self.settler.stores.output_key(job_id, "")), None) is None:
            log.warning("removed_before_healed", extra={"job": job_id, "reason": reason})
            return "gone"
        log.error("not_healed", extra={"job": job_id, "reason": reason})
        return "damaged"

    def _take_back(self, job_id: str, result: JobResult) -> Did:
        """The job was recalled: its outputs must be visible nowhere."""
        # In this order: a store that has the result has all the job's outputs.
        self.primary.delete(self.settler.stores.result_key(job_id))
        _delete_outputs(self.primary, result)
        return "recalled"

    # -- away ---------------------------------------------------------------------------------

    def _clear(self, job_id: str, result: JobResult) -> Did:
        """Remove the copy on the secondary, once nobody can need it any more."""
        stores = self.settler.stores
        left = {stat.key for stat in self.secondary.list(stores.output_key(job_id, ""))}
        key = stores.result_key(job_id)
        if left.isdisjoint({key, *(made.key for made in result.outputs.values())}):
            return "cleared"
        if not is_whole(stores, self.primary, result, self.copier.paced):
            log.error("not_whole_on_primary", extra={"job": job_id})
            return "damaged"
        # Said before it is done: a deletion that nobody can trace back must not happen.
        log.info("cleared", extra={"job": job_id, "store": self.secondary.name})
        self.secondary.delete(key)
        self._must_be_apart(job_id, key, result)
        _delete_outputs(self.secondary, result)
        return "cleared"

    def _must_be_apart(self, job_id: str, key: str, result: JobResult) -> None:
        """Make sure, once, that what was deleted on the secondary was not on the primary.

        Raises:
            InvalidSettings: The two are one place; ``result.json`` is there again.
        """
        if self._apart or self._is_recalled(job_id):
            return
        if not self.primary.exists(key):
            # It went with the other, or the web app has just removed it: put back, it tells which.
            document = result.model_dump_json().encode()
            with suppress(ObjectExists):
                self.secondary.put(key, document, content_type="application/json", create_only=True)
            if self.primary.exists(key):
                raise InvalidSettings(
                    "primary and secondary are the same place; no output was deleted. Give "
                    "secondary.url another bucket, prefix or folder"
                )
            self.secondary.delete(key)
        self._apart = True

    def _is_recalled(self, job_id: str) -> bool:
        return self.settler.stores.staging.exists(f"{RECALLED}{job_id}.json")


def _delete_outputs(store: Storage, result: JobResult) -> None:
    if result.outputs:
        store.delete(*(made.key for made in result.outputs.values()))

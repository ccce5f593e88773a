"""A worker's application whose steps do nothing.

``celery -A benchmarks.empty_app``: the real loop, ledger, lease and workspace; no store, because
what is measured is what a job costs before anything is done. The scan step must say something,
or the ledger would refuse to go on to ``commit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from uploadmill.backends.ledger.ledger import Ledger
from uploadmill.backends.storage.roles import Stores
from uploadmill.job import Outcome, Placement, ScanCertificate
from uploadmill.pipeline import Commit, Pin, Scan
from uploadmill.tasks.base import StepTask
from uploadmill.tasks.registry import step_tasks
from uploadmill.tasks.work import StepResult
from uploadmill.worker import wiring
from uploadmill.worker.celery_app import app

__all__ = ["app"]

SHA256 = "0" * 64

CERTIFICATE = ScanCertificate(
    sha256=SHA256,
    verdict="clean",
    engine="none",
    signatures="none",
    scanned_at=datetime(2026, 1, 1, tzinfo=UTC),
)

RESULTS = {
    Pin.step: StepResult(src_sha256=SHA256),
    Scan.step: StepResult(certificate=CERTIFICATE),
    Commit.step: StepResult(placed=Placement.PRIMARY),
}


class EmptyStep(StepTask):
    """A step under a real one's name that does nothing.

    Args:
        name: Of the task it stands for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.result = RESULTS.get(name.rpartition(".")[2], StepResult())

    def run(self, _job_id: str) -> StepResult:
        return self.result


class LedgerOnly:
    """A settler that only writes the decision into the record."""

    def __init__(self, ledger: Ledger, _stores: Stores) -> None:
        self.ledger = ledger

    def settle(
        self,
        proposal: Outcome,
        _put: Sequence[tuple[Placement, str]] = (),
        *,
        repeated: bool = False,  # noqa: ARG002 (nothing was put before)
    ) -> Outcome:
        document = proposal.model_dump_json().encode()
        self.ledger.finish(proposal, document, sha256(document).hexdigest(), proposal.placed)
        return proposal


for task in step_tasks():
    app.tasks.pop(task.name, None)
    app.register_task(EmptyStep(task.name))
wiring.Settler = LedgerOnly  # type: ignore[assignment,misc,attr-defined,unused-ignore]

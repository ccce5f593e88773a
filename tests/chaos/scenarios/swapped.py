"""A client overwrites its staged bytes while its job runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pictures import photograph

from chaos.book import Entry
from chaos.corpus import BOXES, Corpus, Upload, expecting
from chaos.crew import WORKSPACE
from chaos.ground import Ground
from chaos.scenario import Scenario
from chaos.scenarios.striking import armed_ground, wait_until_struck
from chaos.shelves import read
from uploadmill.job import JobState, Outcome
from uploadmill.wire import OUTCOMES

#: Before these the bytes are swapped. Up to ``pin`` that must be noticed; from there on the
#: pinned bytes are the job, and the swap is seen only where it starts over.
BEFORE_PIN = ("claim.before", "claim.after", "pin.before")
AFTER_PIN = ("pin.complete.before", "validate.before", "scan.before", "scan.after", "commit.before")

#: The same for a picture, at the steps that a text does not have.
OF_PICTURES = ("extract_metadata.before", "resize.before", "optimize.before")

#: The photo pipeline's steps, with small boxes.
PHOTO = {
    "tiny": {
        "steps": [
            "validate",
            "scan",
            "extract_metadata",
            {"step": "resize", **BOXES},
            "optimize",
        ]
    }
}

#: So many workers die in the short form, at points that the seed draws: each has to start again.
SHORT_KILLS = 5

REJECTED = (JobState.REJECTED,)
EITHER = (JobState.STORED, JobState.REJECTED)


@dataclass(frozen=True)
class Case:
    """Where the bytes of one job are swapped, and what else happens to it there."""

    point: str
    then: str = ""

    def faults(self, order: Path) -> list[str]:
        then = [f"{self.point} {self.then}"] if self.then else []
        return [f"{self.point} swap {order}", *then]

    def upload(self, corpus: Corpus) -> Upload:
        made = corpus.picture() if self.point in OF_PICTURES else corpus.text()
        return expecting(made, REJECTED if self.point in BEFORE_PIN else EITHER)


def swap(ground: Ground) -> None:
    """Between every pair of steps, with and without a kill that makes another node start over."""
    armed = armed_ground(ground)
    ground.last_looks.append(lambda: _look(ground))
    for node in ("a", "b"):
        # One job each: a killed worker leaves no other job's outputs behind.
        environ = {WORKSPACE: str(ground.folder / f"node-{node}")}
        ground.hire(1 if ground.short else 2, concurrency=1, environ=environ, ready=False)
    cases = _cases(ground)
    for number in range(ground.jobs):
        case = cases[number % len(cases)]
        upload = case.upload(ground.corpus)
        # Half of the new bytes are infected: they must never be seen.
        infected = number // len(cases) % 2 != number % 2
        fresh = ground.corpus.infected().content if infected else _other(ground.corpus, upload)

        def arm(entry: Entry, case: Case = case, content: bytes = fresh) -> None:
            armed.arm(entry.id, *case.faults(_order(ground.folder, entry, content)))

        ground.submit(upload, arm)
        ground.book.fault("swap", f"{case.point} {case.then}")
        ground.tend()
    wait_until_struck(ground, armed)


def _cases(ground: Ground) -> list[Case]:
    """All of them; the short form kills few workers."""
    points = (*AFTER_PIN, *OF_PICTURES)
    kills = [Case(point, "kill_group") for point in points]
    if ground.short:
        kills = ground.random.sample(kills, SHORT_KILLS)
    return [*(Case(point) for point in (*BEFORE_PIN, *points)), *kills]


def _other(corpus: Corpus, upload: Upload) -> bytes:
    """Good bytes of the same kind; a picture that is higher than wide, as no upload is."""
    return corpus.text().content if upload.verbatim else photograph(36, 48)


def _look(ground: Ground) -> None:
    """What is stored was made of the bytes that were scanned, all else is rejected as changed."""
    for entry in ground.book.accepted:
        key = f"{OUTCOMES}{entry.id}.json"
        if entry.ended is None:
            continue  # counted as lost
        outcome = Outcome.model_validate_json(read(ground.shelves["staging"], key))
        if wrong := what_is_wrong(outcome, entry.upload):
            ground.book.first(ground.book.wrong, f"{entry.id} swapped", wrong)


def what_is_wrong(outcome: Outcome, upload: Upload) -> str:
    """How a job must not end whose staged bytes were swapped; empty where it ended rightly."""
    error, certificate = outcome.result.error, outcome.result.certificate
    if outcome.state is JobState.REJECTED:
        return "" if error and error.code == "source_changed" else f"rejected: {error}"
    if certificate is None or certificate.sha256 != upload.sha256:
        return "stored with the certificate of other bytes"
    made = outcome.result.outputs.values()
    higher = any((each.height or 0) > (each.width or 0) for each in made)
    return "made of the bytes that were swapped in" if higher else ""


def _order(folder: Path, entry: Entry, content: bytes) -> Path:
    orders = folder / "orders"
    orders.mkdir(exist_ok=True)
    target = folder / "staging" / entry.staged
    path = orders / entry.id
    path.write_bytes(str(target).encode() + b"\n" + content)
    return path


SWAPPED = Scenario("bytes_swapped", swap, jobs=(190, 16), pipelines=PHOTO)

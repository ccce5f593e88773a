"""Collections are killed at every point while jobs run, and begun again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from chaos.armed import Armed
from chaos.book import Entry
from chaos.corpus import Upload
from chaos.ground import Ground
from chaos.scenario import Scenario
from chaos.scenarios.striking import PATIENCE, armed_ground, dying
from uploadmill.backends.ledger.names import JOB
from uploadmill.backends.storage import stores_from
from uploadmill.backends.storage.roles import Stores
from uploadmill.wire import OUTCOMES

#: Days by which the things of a job grow old: beyond every time after which anything goes.
AGE = 40

COLLECT = [sys.executable, "-m", "chaos.dying_command", "gc", "--delete", "--orphans"]

#: Faults that the short form draws.
SHORT_KILLS = 3


def collect(ground: Ground) -> None:
    """One collection after another dies; then two at once come to the end."""
    # Two leases, where those are short: the late producer's job ends meanwhile, whoever takes it.
    armed = armed_ground(ground, 2 * ground.lease + 0.5 if ground.short else 1.0)
    ground.hire_few()
    faults = [(make, point) for make, points in VICTIMS.items() for point in points]
    if ground.short:
        faults = ground.random.sample(faults, SHORT_KILLS)
    for make, point in faults:
        entry = make(ground)
        armed.arm(entry.id, f"{point} kill_child")
        ground.book.fault("kill_collection", point)
    with ground.submitting(list(ground.corpus.mixed(ground.jobs)), pause=0.2):
        for _ in faults:
            _run(ground, armed)
        for point in LATE if not ground.short else LATE[-1:]:
            _come_back(ground, armed, point)
        for process in [_start(ground, armed), _start(ground, armed)]:
            if process.wait(PATIENCE):
                ground.book.first(ground.book.wrong, "gc", f"it ended with {process.returncode}")
    for job_id, fault in armed.left.items():
        ground.book.first(ground.book.wrong, fault, f"never reached by {job_id}")


def _start(ground: Ground, armed: Armed) -> subprocess.Popen[bytes]:
    return subprocess.Popen(COLLECT, env=dying(ground, armed), stdout=subprocess.DEVNULL)


def _run(ground: Ground, armed: Armed) -> None:
    process = _start(ground, armed)
    process.wait(PATIENCE)
    ground.tend()


# -- what is to be collected ---------------------------------------------------------------


def forsaken(ground: Ground) -> Entry:
    """Staged bytes whose producer never came back."""
    entry = _staged(ground, ground.corpus.text(), _key(ground))
    entry.outlasting = frozenset()
    return entry


def stored(ground: Ground) -> Entry:
    """A stored job of long ago, with a killed run's output and a healed one's copies."""
    entry = _ended(ground, ground.corpus.picture())
    primary, stores = ground.folder / "primary", _stores(ground)
    keys = [f"{entry.id}/{path.name}" for path in (primary / entry.id).iterdir()]
    for key in sorted(keys, key=lambda key: key.endswith("/result.json")):
        stores.secondary.put(key, (primary / key).read_bytes(), content_type="image/jpeg")
    strange = ground.corpus.picture().content + b"\n"
    name = f"thumb-{hashlib.sha256(strange).hexdigest()[:32]}.jpg"
    stores.primary.put(f"{entry.id}/{name}", strange, content_type="image/jpeg")
    entry.outlasting = frozenset(f"primary/{key}" for key in keys)
    _grow_old(ground, entry)
    return entry


def rejected(ground: Ground) -> Entry:
    """A rejected job of long ago, whose bytes a killed run had put into quarantine."""
    entry = _ended(ground, ground.corpus.bad())
    content = entry.upload.content
    key = f"{entry.id}/{hashlib.sha256(content).hexdigest()}"
    _stores(ground).quarantine.put(key, content)
    entry.outlasting = frozenset()
    _grow_old(ground, entry)
    return entry


def orphaned(ground: Ground) -> Entry:
    """An output of a job that left no other trace."""
    entry = _staged(ground, ground.corpus.text(), _key(ground))
    stores, upload = _stores(ground), entry.upload
    stores.staging.delete(entry.staged)
    key = f"{entry.id}/original-{upload.sha256[:32]}.txt"
    stores.primary.put(key, upload.content, content_type="text/plain")
    entry.outlasting = frozenset()
    _grow_old(ground, entry)
    return entry


#: Whose things a collection may be struck at, and where: of whatever it looks at, and before and
#: after each group that it deletes.
LOOK = ("gc.after_age", "gc.after_envelope")
VICTIMS: dict[Callable[[Ground], Entry], tuple[str, ...]] = {
    forsaken: (*LOOK, "gc.staged.before", "gc.staged.after"),
    stored: (
        *LOOK,
        "gc.outputs.before",
        "gc.outputs.after",
        "gc.outcomes.before",
        "gc.outcomes.after",
    ),
    rejected: (*LOOK, "gc.quarantine.before", "gc.quarantine.after"),
    orphaned: (*LOOK, "gc.orphans.before", "gc.orphans.after"),
}

#: Where a collection stands still while a producer comes back after all.
LATE = (*LOOK, "gc.staged.before")


def _come_back(ground: Ground, armed: Armed, point: str) -> None:
    """A producer asks again, with the same key, while its old bytes are being collected."""
    key = _key(ground)
    entry = _staged(ground, ground.corpus.text(), key)
    armed.arm(entry.id, f"{point} stop")
    ground.book.fault("stop_collection", point)
    process = _start(ground, armed)
    end = time.monotonic() + PATIENCE
    while entry.id in armed.left and time.monotonic() < end:
        ground.pause(0.02)
    upload = entry.upload
    ground.uploads.enqueue(upload.content, pipeline=upload.pipeline, idempotency_key=key)
    entry.accepted = time.monotonic()
    process.wait(PATIENCE)


def _stores(ground: Ground) -> Stores:
    """All four; a producer has not all of them open."""
    return stores_from(ground.environment.settings)


def _key(ground: Ground) -> str:
    return f"old-{ground.random.getrandbits(64):x}"


def _staged(ground: Ground, upload: Upload, key: str) -> Entry:
    """Bytes that were staged long ago, and nothing else."""
    staged = ground.uploads.stage(upload.content, pipeline=upload.pipeline, idempotency_key=key)
    entry = Entry(staged.id, upload, staged.key)
    ground.book.entries[staged.id] = entry
    _grow_old(ground, entry)
    return entry


def _ended(ground: Ground, upload: Upload) -> Entry:
    """A job that has ended, and whose record Redis keeps no longer."""
    entry = ground.submit(upload)
    envelope = ground.folder / "staging" / "envelopes" / f"{entry.id}.json"
    end = time.monotonic() + PATIENCE
    while (entry.ended is None or envelope.exists()) and time.monotonic() < end:
        ground.pause(0.05)
    with ground.redis() as client:
        client.delete(JOB + entry.id)
    return entry


def _grow_old(ground: Ground, entry: Entry) -> None:
    """Stores tell the age of an object by their clock: a local one by the file's time."""
    moment = time.time() - AGE * 86_400
    for path in _things(ground.folder, entry):
        os.utime(path, (moment, moment))


def _things(folder: Path, entry: Entry) -> list[Path]:
    below = [path for path in folder.glob(f"*/{entry.id}/*") if path.is_file()]
    outcome = folder / "staging" / OUTCOMES / f"{entry.id}.json"
    staged = list((folder / "staging" / "uploads" / entry.id).glob("*"))
    return [*below, *staged, *([outcome] if outcome.exists() else [])]


COLLECTION = Scenario(
    "collection",
    collect,
    jobs=(200, 10),
    settings={"UPLOADMILL_LEDGER__KEEP_REJECTED": "0"},
)

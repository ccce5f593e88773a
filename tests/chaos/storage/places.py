"""Where every job's objects are, and whether that is where its record says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chaos.corpus import Upload
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.hashing import HashingReader
from uploadmill.backends.storage.roles import Stores
from uploadmill.backends.storage.sources import CHUNK
from uploadmill.errors import ObjectNotFound
from uploadmill.job import JobResult, JobState


@dataclass
class Findings:
    """What was found of a scenario's jobs; each list names the job and what is wrong."""

    stored: int = 0
    wrong_place: list[str] = field(default_factory=list)
    wrong_digest: list[str] = field(default_factory=list)
    left_on_secondary: int = 0


def look(results: Mapping[str, JobResult], jobs: Mapping[str, Upload], stores: Stores) -> Findings:
    """Read everything that the results name, and list what lies in the secondary."""
    findings = Findings()
    for job_id, upload in jobs.items():
        result = results.get(job_id)
        if result is None or result.state is not JobState.STORED:
            continue
        findings.stored += 1
        _look_at(findings, result, upload, stores)
    findings.left_on_secondary = sum(1 for _ in stores.secondary.list(stores.prefix))
    return findings


def _look_at(findings: Findings, result: JobResult, upload: Upload, stores: Stores) -> None:
    roles = {"primary": stores.primary, "secondary": stores.secondary}
    places = {output.store for output in result.outputs.values()}
    if len(places) != 1 or not places <= set(roles):
        findings.wrong_place.append(f"{result.job_id}: its outputs are in {places}")
        return
    (place,) = places
    there = {name: _has_result(store, stores, result) for name, store in roles.items()}
    if there != {name: name == place for name in roles}:
        findings.wrong_place.append(f"{result.job_id}: it is in {place}, result.json: {there}")
    for output in result.outputs.values():
        found = _digest(roles[str(place)], output.key)
        if found is None:
            findings.wrong_place.append(f"{result.job_id}: {output.key} is not in {place}")
        elif found != (output.sha256, output.size):
            findings.wrong_digest.append(f"{result.job_id}: {output.key}")
        elif upload.verbatim and output.sha256 != upload.sha256:
            findings.wrong_digest.append(f"{result.job_id}: not the bytes that were sent")


def _has_result(store: Storage, stores: Stores, result: JobResult) -> bool:
    return store.exists(stores.result_key(result.job_id))


def _digest(store: Storage, key: str) -> tuple[str, int] | None:
    """What reading gives, not what the store says of it."""
    try:
        with store.open(key) as stream:
            reader = HashingReader(stream)
            while reader.read(CHUNK):
                pass
    except ObjectNotFound:
        return None
    return reader.sha256, reader.size

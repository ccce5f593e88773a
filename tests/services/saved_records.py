"""Open jobs as a version of uploadmill left them, to be worked on to their end by later ones.

``PYTHONPATH=tests python -m services.saved_records v1`` saves the present version's. Do that once
for each released version of the record; a saved file is never changed afterwards.
"""

from __future__ import annotations

import json
import sys
import tempfile
from base64 import b64decode, b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import redis
from pictures import photograph

from services.mill import QUICK, TESTS, Mill
from services.waiting import eventually
from uploadmill import Uploads
from uploadmill.backends.ledger.names import JOB, OPEN
from uploadmill.backends.storage import stores_from
from uploadmill.ids import new_job_id
from uploadmill.settings import Settings
from uploadmill.worker.embedded.environment import embedded_environment

FOLDER = TESTS / "fixtures" / "records"

#: The steps in which the worker was killed.
STEPS = ("pin", "scan", "resize", "commit")

#: A deadline of a hundred years, so that a saved job is not past it when it is run.
AGES = {
    "UPLOADMILL_LEDGER__DEADLINE": "3.2e9",
    "UPLOADMILL_LEDGER__WORKSPACE_MAX": "3.3e9",
    "UPLOADMILL_LEDGER__TOMBSTONE_KEEP": "3.4e9",
}


def lay_down(name: str, settings: Settings, workspace: Path | None = None) -> str:
    """Put a saved job back, under a new id, which is returned.

    Args:
        name: The file, such as ``v1-scan``.
        settings: Of the servers and stores to put it into.
        workspace: Where its node's files go; without one that node is lost.
    """
    saved, job_id = json.loads((FOLDER / f"{name}.json").read_text()), new_job_id()
    old = json.loads(saved["record"]["doc"])
    staging = stores_from(settings).staging

    def renamed(text: str) -> str:
        return text.replace(old["id"], job_id)

    upload = old["staged"]["key"]
    content = b64decode(saved["staging"].pop(upload))
    stat = staging.put(renamed(upload), content, content_type="application/octet-stream")

    def anew(text: str) -> str:
        # The same bytes in another store have another etag.
        return renamed(text).replace(old["staged"]["etag"], stat.etag)

    for key, content in saved["staging"].items():
        document = anew(b64decode(content).decode()).encode()
        staging.put(renamed(key), document, content_type="application/json")
    if workspace:
        (workspace / "jobs").mkdir(parents=True, exist_ok=True)
        (workspace / "node").write_text(saved["node"])
        for path, content in saved["workspace"].items():
            (workspace / renamed(path)).parent.mkdir(parents=True, exist_ok=True)
            (workspace / renamed(path)).write_bytes(b64decode(content))
    with redis.Redis.from_url(settings.redis_url) as client:
        client.hset(JOB + job_id, mapping={k: anew(v) for k, v in saved["record"].items()})
        client.zadd(OPEN, {job_id: 0})
    return job_id


def taken_up(mill: Mill, job_id: str) -> dict[str, Any]:
    """All there is of an open job."""
    workspace = mill.environment.folder / "workspace"
    files = (path for path in (workspace / "jobs" / job_id).rglob("*") if path.is_file())
    staging = stores_from(mill.environment.settings).staging
    keys = [stat.key for stat in staging.list() if job_id in stat.key]
    url = mill.environment.settings.redis_url
    with redis.Redis.from_url(url, decode_responses=True) as client:
        record = client.hgetall(JOB + job_id)
    return {
        "id": job_id,
        "record": record,
        "staging": {key: _text(_read(staging, key)) for key in keys},
        "node": (workspace / "node").read_text(),
        "workspace": {str(path.relative_to(workspace)): _text(path.read_bytes()) for path in files},
    }


def _read(storage: Any, key: str) -> bytes:
    with storage.open(key) as reader:
        return b"".join(iter(lambda: reader.read(65536), b""))


def _text(content: bytes) -> str:
    return b64encode(content).decode()


def save(mill: Mill, version: str) -> None:
    """Kill a worker in each of the steps, and save what it leaves."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        worker = mill.start(faulty=True)
        mill.arm(f"kill_worker {step}")
        job = mill.uploads.enqueue(photograph(24, 16), pipeline="photo", filename="small.jpg")
        if not eventually(lambda worker=worker: not worker.running):
            raise RuntimeError(f"the worker was not killed in {step}")
        text = json.dumps(taken_up(mill, job.id), indent=1, sort_keys=True)
        (FOLDER / f"{version}-{step}.json").write_text(text + "\n")
        with redis.Redis.from_url(mill.environment.settings.redis_url) as client:
            client.zrem(OPEN, job.id)  # the next worker is for the next step


def main(version: str) -> None:
    """Save the present version's jobs."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "faults").mkdir()
        overrides = {**QUICK, **AGES}
        with (
            embedded_environment(
                root / "mill", scan=True, overrides=overrides, system_signatures=False
            ) as environment,
            closing(Uploads(environment.settings)) as uploads,
        ):
            save(Mill(environment, uploads, root / "faults"), version)


if __name__ == "__main__":
    main(sys.argv[1])

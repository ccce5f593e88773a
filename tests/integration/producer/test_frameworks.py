"""The examples of docs/producers.md, in the real frameworks."""

import asyncio
import importlib.util
import re
import threading
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from services.missing import missing
from services.waiting import PATIENCE

from uploadmill.job import JobState
from uploadmill.wire import ENVELOPES, UPLOADS

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def configured(redis_url, tmp_path, monkeypatch):
    """Settings for the examples in the environment, where they read them."""
    for role in ("staging", "primary", "secondary", "quarantine"):
        monkeypatch.setenv(f"UPLOADMILL_{role.upper()}__URL", f"file://{tmp_path}/{role}")
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("GALLERY_DATABASE", str(tmp_path / "gallery.sqlite3"))
    return tmp_path


def in_staging(uploads, prefix):
    return [stat.key for stat in uploads._clients.stores.staging.list(prefix)]


@pytest.mark.parametrize("example", ["fastapi_app.py", "django_app/gallery/views.py"])
def test_the_documentation_shows_the_examples_own_lines(example):
    text = (ROOT / "docs" / "producers.md").read_text()
    [shown] = re.findall(rf"`examples/{example}`\):\n\n```python\n(.*?)```", text, re.DOTALL)

    assert shown in (EXAMPLES / example).read_text()


@pytest.fixture
def fastapi_app(configured):
    if find_spec("fastapi") is None:
        missing("fastapi", "pip install 'uploadmill[fastapi]'")
    spec = importlib.util.spec_from_file_location("fastapi_app", EXAMPLES / "fastapi_app.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    yield example
    example.uploads.close()


def test_fastapi_enqueues_off_the_event_loop(fastapi_app, monkeypatch):
    uploads = fastapi_app.uploads
    enqueue = uploads.enqueue
    turned = threading.Event()

    def enqueue_once_the_loop_has_turned(*arguments, **options):
        turned.clear()
        assert turned.wait(PATIENCE)
        return enqueue(*arguments, **options)

    async def turn():
        while True:
            turned.set()
            await asyncio.sleep(0.001)

    async def visit():
        turning = asyncio.create_task(turn())
        transport = httpx.ASGITransport(fastapi_app.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            answer = await client.post("/photos", files={"file": upload})
            turning.cancel()
            return answer, await client.get(f"/photos/{answer.json()['job']}")

    monkeypatch.setattr(uploads, "enqueue", enqueue_once_the_loop_has_turned)
    content = b"a photograph" * 200_000  # more than Starlette keeps in memory
    upload = ("holiday.jpg", content, "image/jpeg")

    answer, look = asyncio.run(visit())

    assert answer.status_code == 202
    assert look.json() == {"state": "accepted"}
    job = uploads._clients.ledger.read(answer.json()["job"]).job
    assert (job.filename, job.declared_type) == ("holiday.jpg", "image/jpeg")
    assert job.staged.size == len(content)


@pytest.fixture
def gallery(configured, monkeypatch):
    """The Django example with its database made."""
    if find_spec("django") is None:
        missing("django", "pip install 'uploadmill[django]'")
    monkeypatch.syspath_prepend(str(EXAMPLES / "django_app"))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "gallery.settings")
    import django  # noqa: PLC0415 - an extra
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    django.setup()
    from gallery import views  # noqa: PLC0415 - after setup

    call_command("migrate", run_syncdb=True, verbosity=0)
    yield views
    views.uploads.close()
    connections.close_all()


def test_django_accepts_on_commit_and_a_rollback_leaves_no_envelope(gallery):
    """One test: Django is configured once for a process."""
    from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: PLC0415
    from django.db import transaction  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    uploads, photos = gallery.uploads, gallery.Photo.objects
    client = Client()

    def post(title):
        file = SimpleUploadedFile("holiday.jpg", b"a photograph", "image/jpeg")
        return client.post("/photos", {"file": file, "title": title})

    # Given a committed upload, when it is looked at, then its job is known and is the row's.
    answer = post("Åre")
    job_id = answer.json()["job"]
    assert answer.status_code == 202
    assert [str(photo.job) for photo in photos.all()] == [job_id]
    assert client.get(f"/photos/{job_id}").json() == {"state": "accepted"}
    job = uploads._clients.ledger.read(job_id).job
    assert (job.filename, job.declared_type) == ("holiday.jpg", "image/jpeg")

    # While a transaction is open, the id is known, the bytes are staged, and there is no job.
    with transaction.atomic():
        rolled_back = post("lost").json()["job"]
        assert photos.count() == 2
        assert len(in_staging(uploads, f"{UPLOADS}{rolled_back}/")) == 1
        assert in_staging(uploads, ENVELOPES) == [f"{ENVELOPES}{job_id}.json"]
        transaction.set_rollback(True)

    # When it was rolled back, then neither row nor envelope nor record is left.
    assert photos.count() == 1
    assert in_staging(uploads, ENVELOPES) == [f"{ENVELOPES}{job_id}.json"]
    assert uploads._clients.ledger.read(rolled_back) is None

    # When an outer transaction is committed, then the job begins, and not before.
    with transaction.atomic():
        later = post("later").json()["job"]
        assert uploads._clients.ledger.read(later) is None
    assert uploads.status(later).state is JobState.ACCEPTED

"""Flower as an operator sees it: in a real browser, reading its own tables."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import redis
from pictures import photograph
from playwright.sync_api import Page, sync_playwright
from services.mill import Mill
from services.missing import missing
from services.waiting import eventually

from uploadmill import Uploads
from uploadmill.job import JobState
from uploadmill.pipeline import SHIPPED, Plan
from uploadmill.settings import Settings
from uploadmill.worker.embedded.environment import Environment
from uploadmill.worker.embedded.flower import embedded_flower

STEPS = Plan.of("photo", SHIPPED["photo"]).names
REDIS_PASSWORD = "opensesame-of-redis"
S3_SECRET = "opensesame-of-s3"

#: What a task's page says of its arguments: the job id, nothing before or behind it.
ARGUMENTS = re.compile(r"Arguments\n[(\[]'([0-9a-f-]{36})',?[)\]]\n")

CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def with_secrets(environment: Environment) -> Environment:
    """The same environment behind a Redis password, with an S3 secret among its settings.

    Where Redis is the broker its password is the broker's; any other has one of its own.
    """
    with redis.Redis.from_url(environment.settings.redis_url) as client:
        client.config_set("requirepass", REDIS_PASSWORD)
    guarded = environment.settings.redis_url.replace("redis://", f"redis://:{REDIS_PASSWORD}@")
    environment.environ = {
        **environment.environ,
        "UPLOADMILL_REDIS_URL": guarded,
        "UPLOADMILL_QUARANTINE__URL": "s3://quarantine",
        "UPLOADMILL_QUARANTINE__ACCESS_KEY": "mill",
        "UPLOADMILL_QUARANTINE__SECRET_KEY": S3_SECRET,
    }
    environment.settings = Settings.load(environment.environ)
    return environment


@pytest.fixture(scope="module")
def guarded(servers) -> Iterator[Environment]:
    with servers() as environment:
        yield with_secrets(environment)


@pytest.fixture
def mill(guarded, tmp_path) -> Iterator[Mill]:
    uploads = Uploads(guarded.settings)
    mill = Mill(guarded, uploads, tmp_path)
    yield mill
    uploads.close()
    mill.kill(guarded.workers)


@pytest.fixture(scope="module")
def page(guarded, tmp_path_factory) -> Iterator[Page]:
    """A browser at Flower's door."""
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("chromium", "apt-get install chromium")
    with (
        embedded_flower(tmp_path_factory.mktemp("server"), guarded.environ) as flower,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=CHROMIUM) as browser,
    ):
        yield browser.new_page(base_url=flower.url)


def passwords(mill: Mill) -> set[str]:
    """Those of the ledger and of the broker."""
    settings = mill.environment.settings
    found = {urlsplit(url).password for url in (settings.redis_url, settings.broker_url)}
    assert REDIS_PASSWORD in found
    assert None not in found
    return found


def rows(page: Page, path: str, name: str, key: str) -> dict[str, dict[str, str]]:
    """A table of Flower's as the browser shows it: each row by its *key* column's text."""
    page.goto(path)
    page.wait_for_load_state("networkidle")
    size = page.locator(f"select[name='{name[1:]}_length']")
    if size.count() and size.input_value() != "100":
        size.select_option("100")
        page.wait_for_load_state("networkidle")
    titles = [title.strip().upper() for title in page.locator(f"{name} thead th").all_inner_texts()]
    cells = [row.locator("td").all_inner_texts() for row in page.locator(f"{name} tbody tr").all()]
    named = [dict(zip(titles, row, strict=False)) for row in cells]
    return {row[key]: row for row in named}


def tasks(page: Page) -> dict[str, dict[str, str]]:
    return rows(page, "/tasks", "#tasks-table", "UUID")


def state(page: Page, task: str) -> str | None:
    """What a row says of its task; nothing where it is not there yet."""
    return tasks(page).get(task, {}).get("STATE")


def ids(job_id: str) -> set[str]:
    """The rows a job has: its own, and one for each step."""
    return {job_id, *(f"{job_id}.{step}" for step in STEPS)}


def test_flower_shows_jobs_and_steps_and_no_secret(mill, page):
    mill.start()
    result = mill.run(photograph(400, 300), filename="private-name.jpg", owner="private-owner")
    assert JobState.STORED == result.state
    assert eventually(lambda: "SUCCESS" == state(page, result.job_id))

    shown = tasks(page)
    assert ids(result.job_id) == set(shown)
    assert {"SUCCESS"} == {row["STATE"] for row in shown.values()}
    assert {"uploadmill.process", *(f"uploadmill.{step}" for step in STEPS)} == {
        row["NAME"] for row in shown.values()
    }
    (worker,) = rows(page, "/", "#workers-table", "WORKER").values()
    assert "Online" == worker["STATUS"]
    assert {worker["WORKER"]} == {row["WORKER"] for row in shown.values()}

    pages = ["/", "/tasks", "/broker", f"/worker/{worker['WORKER']}"]
    pages += [f"/task/{task}" for task in shown]
    for path in pages:
        page.goto(path)
        if path.startswith("/task/"):
            assert ARGUMENTS.search(page.inner_text("body"))[1] == result.job_id
        else:
            page.wait_for_load_state("networkidle")  # its tables come later
        text = page.content()
        for secret in (*passwords(mill), S3_SECRET, "private-name", "private-owner"):
            assert secret not in text, path


def test_no_row_of_a_killed_run_stays_started_once_its_job_has_ended(mill, page):
    worker = mill.start(faulty=True)
    mill.arm("kill_worker resize")
    job = mill.uploads.enqueue(photograph(320, 240), pipeline="photo")
    assert eventually(lambda: not worker.running)
    assert eventually(lambda: "STARTED" in {row["STATE"] for row in tasks(page).values()})

    mill.start(faulty=True)
    assert JobState.STORED == mill.wait(job.id).state
    assert eventually(lambda: "SUCCESS" == state(page, job.id))

    shown = {task: row for task, row in tasks(page).items() if task.startswith(job.id)}
    assert ids(job.id) == set(shown)
    assert {"SUCCESS"} == {row["STATE"] for row in shown.values()}

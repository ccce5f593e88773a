"""Flower in a real browser, with RabbitMQ as broker: events come through another transport."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from acceptance.test_flower import CHROMIUM, ids, rows, state, tasks
from pictures import photograph
from playwright.sync_api import Page, sync_playwright
from services.missing import missing
from services.waiting import eventually

from uploadmill.job import JobState
from uploadmill.wire import QUEUE
from uploadmill.worker.embedded.environment import Environment
from uploadmill.worker.embedded.flower import embedded_flower


@pytest.fixture
def environment(servers, rabbitmq) -> Iterator[Environment]:
    rabbitmq.delete(QUEUE)
    with servers(UPLOADMILL_BROKER_URL=rabbitmq.url) as environment:
        yield environment


@pytest.fixture
def page(environment, tmp_path) -> Iterator[Page]:
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("chromium", "apt-get install chromium")
    with (
        embedded_flower(tmp_path, environment.environ) as flower,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=CHROMIUM) as browser,
    ):
        yield browser.new_page(base_url=flower.url)


def test_flower_shows_jobs_and_steps(mill, page):
    mill.start()
    result = mill.run(photograph(400, 300))
    assert JobState.STORED == result.state
    assert eventually(lambda: "SUCCESS" == state(page, result.job_id))

    shown = tasks(page)

    assert ids(result.job_id) == set(shown)
    assert {"SUCCESS"} == {row["STATE"] for row in shown.values()}
    (worker,) = rows(page, "/", "#workers-table", "WORKER").values()
    assert "Online" == worker["STATUS"]
    assert {worker["WORKER"]} == {row["WORKER"] for row in shown.values()}

"""Flower in a real browser, with RabbitMQ as broker: events come through another transport."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from acceptance.test_flower import CHROMIUM, ids, rows, tasks
from pictures import photograph
from playwright.sync_api import Page, sync_playwright
from services.mill import QUICK
from services.missing import missing
from services.waiting import eventually

from uploadmill.job import JobState
from uploadmill.wire import QUEUE
from uploadmill.worker.embedded.environment import Environment, embedded_environment
from uploadmill.worker.embedded.flower import embedded_flower


@pytest.fixture(scope="module")
def environment(rabbitmq, tmp_path_factory) -> Iterator[Environment]:
    rabbitmq.delete(QUEUE)
    with embedded_environment(
        tmp_path_factory.mktemp("mill"),
        scan=True,
        overrides={**QUICK, "UPLOADMILL_BROKER_URL": rabbitmq.url},
        system_signatures=False,
    ) as environment:
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
    assert eventually(lambda: "SUCCESS" == tasks(page).get(result.job_id, {}).get("STATE"))

    shown = tasks(page)

    assert ids(result.job_id) == set(shown)
    assert {"SUCCESS"} == {row["STATE"] for row in shown.values()}
    (worker,) = rows(page, "/", "#workers-table", "WORKER").values()
    assert "Online" == worker["STATUS"]
    assert {worker["WORKER"]} == {row["WORKER"] for row in shown.values()}

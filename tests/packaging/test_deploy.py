"""The Procfile and deploy/compose.yml, read as their programs read them."""

import re
import shlex
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from celery import Celery
from celery.bin.base import CLIContext
from celery.bin.worker import worker as celery_worker
from checkout import CHECKOUT
from flower.command import flower as celery_flower

from uploadmill.settings import Settings
from uploadmill.settings_sources import PREFIX
from uploadmill.wire import QUEUE

COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "deploy" / "compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PROCFILE = dict(
    line.split(": ", 1) for line in (CHECKOUT / "Procfile").read_text().splitlines() if line
)
#: What speaks to a store, by the scheme of its address.
CLIENTS = {
    "file": None,
    "s3": "boto3",
    "gs": "google-cloud-storage",
    "azure": "azure-storage-blob",
}
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|AUTH|REDIS_URL")
FROM_ENVIRONMENT = re.compile(r"\$\{\w+(:\?[^}]*)?\}")


def commands() -> dict[str, list[str]]:
    """Every command line of ours."""
    lines = {f"Procfile {name}": line for name, line in PROCFILE.items()}
    lines |= {f"compose {name}": SERVICES[name]["command"] for name in ("worker", "flower")}
    return {name: shlex.split(line) for name, line in lines.items()}


def given(environment: dict[str, str]) -> dict[str, str]:
    """An environment as the container sees it."""
    return {name: FROM_ENVIRONMENT.sub("given", value) for name, value in environment.items()}


@pytest.mark.parametrize("place", ["Procfile", "compose"])
def test_the_worker_command_is_one_that_celery_understands(place):
    program, app_option, app, name, *options = commands()[f"{place} worker"]

    command_line = CLIContext(app=Celery(set_as_current=False), no_color=True, workdir=None)
    context = celery_worker.make_context(name, options, obj=command_line)

    assert ("celery", "-A", "uploadmill.worker") == (program, app_option, app)
    assert [QUEUE] == context.params["queues"]
    assert context.params["task_events"]
    # Without heartbeats Flower lists the worker as offline.
    assert not context.params["without_heartbeat"]


@pytest.mark.parametrize("place", ["Procfile", "compose"])
def test_flower_only_looks(place):
    program, app_option, app, name, *options = commands()[f"{place} flower"]

    assert ("celery", "-A", "uploadmill.worker") == (program, app_option, app)
    assert celery_flower.name == name
    assert "--read_only" in options


def test_flower_is_behind_a_password_wherever_it_leaves_the_host():
    assert "--address=127.0.0.1" in commands()["Procfile flower"]
    assert ":?" in SERVICES["flower"]["environment"]["FLOWER_BASIC_AUTH"]


@pytest.mark.parametrize("name", ["worker", "flower"])
def test_every_setting_is_one_that_exists(name):
    environment = SERVICES[name]["environment"]
    ours = {each: value for each, value in environment.items() if each.startswith(PREFIX)}

    settings = Settings.load(given(ours))

    assert "s3://primary" == settings.primary.url
    assert settings.redis_url == settings.broker_url


def test_the_image_has_a_client_for_every_store_and_all_that_a_worker_needs():
    recipe = SERVICES["worker"]["build"]["dockerfile_inline"]
    (lock,) = re.findall(r"-r (requirements/worker\S+)", recipe)
    installed = re.findall(r"^([\w.-]+)==", (CHECKOUT / lock).read_text(), re.MULTILINE)
    urls = [
        url for name, url in SERVICES["worker"]["environment"].items() if name.endswith("__URL")
    ]
    clients = {CLIENTS[urlsplit(url).scheme] for url in urls} - {None}

    assert {"boto3"} == clients
    assert [] == sorted({*clients, "pillow", "pyclamd", "python-magic", "flower"} - {*installed})
    assert "libmagic1" in recipe


def test_an_unknown_setting_would_be_noticed():
    with pytest.raises(Exception, match="UPLOADMILL_PRIMRY__URL"):
        Settings.load({"UPLOADMILL_PRIMRY__URL": "memory:"})


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_to_a_version(name):
    service = SERVICES[name]
    images = [service["image"]]
    if "build" in service:
        images = re.findall(r"^FROM (\S+)", service["build"]["dockerfile_inline"], re.MULTILINE)

    assert all(re.search(r":\d+\.\d+", image) for image in images), images


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"buckets"}))
def test_every_service_that_stays_has_a_health_check(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_the_loopback_interface_alone(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_the_environment(name):
    environment = SERVICES[name].get("environment", {})
    secret = {each: value for each, value in environment.items() if SECRET.search(each)}

    assert [] == [each for each, value in secret.items() if not FROM_ENVIRONMENT.search(value)]


def test_the_ledger_is_on_disk_and_keeps_every_key():
    command = shlex.split(SERVICES["valkey"]["command"])

    assert "yes" == command[command.index("--appendonly") + 1]
    assert "noeviction" == command[command.index("--maxmemory-policy") + 1]

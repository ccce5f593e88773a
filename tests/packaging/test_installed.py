"""The installed package, where there is no checkout."""

import resource
import statistics
from pathlib import Path

import pytest
from checkout import FOLDERS, Environment, outside, said_by

#: Most CPU that a web app may pay for its client, in seconds, as the median of five starts.
IMPORT_CPU = 0.40

#: What only a worker, or one framework, needs.
HEAVY = ("PIL", "boto3", "google", "azure", "pyclamd", "magic", "flower", "django", "fastapi")


def run_python(environment: Environment, code: str, folder: Path) -> str:
    return said_by(outside([environment.program("python"), "-c", code], folder)).strip()


def cpu_of(environment: Environment, code: str, folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_python(environment, code, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_producer_gets_its_client_without_the_workers_packages(producer_environment, tmp_path):
    code = (
        "import importlib.util as u\n"
        "from uploadmill import Uploads\n"
        f"print(Uploads.__name__, [name for name in {HEAVY} if u.find_spec(name)])"
    )

    assert "Uploads []" == run_python(producer_environment, code, tmp_path)


def test_importing_the_client_costs_a_web_app_little(producer_environment, tmp_path):
    code = "from uploadmill import Uploads"
    cpu_of(producer_environment, code, tmp_path)  # compiles the modules

    seconds = statistics.median(cpu_of(producer_environment, code, tmp_path) for _ in range(5))

    assert seconds <= IMPORT_CPU


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A web app that has modules of the same names as our folders."""
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "__init__.py").write_text('OWNER = "app"\n')
    for name in ("producer", "tasks", "worker"):
        (tmp_path / f"{name}.py").write_text('OWNER = "app"\n')
    return tmp_path


def test_an_apps_own_modules_are_not_disturbed(worker_environment, app):
    code = (
        "import uploadmill.worker, uploadmill.tasks, uploadmill.backends\n"
        "from uploadmill import Pipeline, Uploads\n"
        "import backends, producer, tasks, worker\n"
        "print({module.OWNER for module in (backends, producer, tasks, worker)})"
    )

    assert "{'app'}" == run_python(worker_environment, code, app)


#: Asks stores in two clouds, where nobody answers.
ASK = """
import azure.identity
from uploadmill import open_storage
from uploadmill.errors import StorageUnavailable

nobody = "http://127.0.0.1:9"
for store in (
    open_storage("gs://uploads", name="google", endpoint_url=nobody),
    open_storage("azure://uploads", name="azure", account_url=f"{nobody}/a", access_key="a2V5"),
):
    try:
        store.ping()
    except StorageUnavailable as error:
        print(error)
"""


def test_the_extras_gcs_and_azure_bring_working_clients(clouds_environment, tmp_path):
    google, azure = run_python(clouds_environment, ASK, tmp_path).splitlines()

    assert google.startswith("storage 'google' is unavailable")
    assert azure.startswith("storage 'azure' is unavailable")


def test_a_store_whose_extra_is_not_installed_names_it(producer_environment, tmp_path):
    code = (
        "from uploadmill import open_storage\n"
        "from uploadmill.errors import InvalidSettings\n"
        "for url in ('s3://a', 'gs://a', 'azure://a'):\n"
        "    try: open_storage(url)\n"
        "    except InvalidSettings as error: print(str(error).rpartition('pip install ')[2])\n"
    )

    named = run_python(producer_environment, code, tmp_path).splitlines()

    assert ["'uploadmill[s3]'", "'uploadmill[gcs]'", "'uploadmill[azure]'"] == named


def test_nothing_but_uploadmill_is_put_beside_the_apps_packages(producer_environment):
    (packages,) = producer_environment.folder.glob("lib/python3.*/site-packages")

    assert (packages / "uploadmill").is_dir()
    assert [] == [name for name in FOLDERS if list(packages.glob(f"{name}*"))]


def test_celery_finds_the_worker_outside_the_checkout_and_not_the_apps_modules(
    worker_environment, app
):
    for name in ("producer", "tasks", "worker"):
        (app / f"{name}.py").write_text('raise RuntimeError("the app\'s own module")\n')

    report = said_by(
        outside([worker_environment.program("celery"), "-A", "uploadmill.worker", "report"], app)
    )

    assert "celery:5.7" in report


def test_the_command_line_is_installed(worker_environment, tmp_path):
    said = said_by(outside([worker_environment.program("uploadmill"), "--help"], tmp_path))

    assert "submit" in said

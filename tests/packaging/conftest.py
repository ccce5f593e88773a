"""What is built from this checkout, and environments that it is installed in."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import Environment, build, copy_to, said_by


@dataclass(frozen=True)
class Built:
    """What the two ways to build made."""

    sdist: Path
    wheel_of_sdist: Path
    wheel_of_tree: Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the checkout for one test to break."""
    return copy_to(tmp_path / "copy")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, the wheel made from that sdist, and the wheel made from the tree."""
    folder = tmp_path_factory.mktemp("built")
    tree = copy_to(folder / "tree")
    said_by(build(tree, folder / "through-sdist"))
    said_by(build(tree, folder / "direct", "--wheel"))
    (sdist,) = folder.glob("through-sdist/*.tar.gz")
    (wheel_of_sdist,) = folder.glob("through-sdist/*.whl")
    (wheel_of_tree,) = folder.glob("direct/*.whl")
    return Built(sdist, wheel_of_sdist, wheel_of_tree)


@pytest.fixture(scope="session")
def producer_environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install uploadmill` gives a web app."""
    environment = Environment.make(tmp_path_factory.mktemp("environments") / "producer")
    environment.install(str(built.wheel_of_tree))
    return environment


@pytest.fixture(scope="session")
def worker_environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install uploadmill[worker,s3]` gives, by way of the sdist."""
    environment = Environment.make(tmp_path_factory.mktemp("environments") / "worker")
    environment.install(f"{built.wheel_of_sdist}[worker,s3]")
    return environment


@pytest.fixture(scope="session")
def clouds_environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What `pip install uploadmill[gcs,azure]` gives."""
    environment = Environment.make(tmp_path_factory.mktemp("environments") / "clouds")
    environment.install(f"{built.wheel_of_tree}[gcs,azure]")
    return environment

"""What the tests of a local store begin with: a folder, and a store in it."""

import pytest

from uploadmill.backends.storage.local import LocalStorage


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


@pytest.fixture
def storage(root):
    return LocalStorage(root, name="primary")

"""The error tree: every error in its drawing, every error across processes."""

from __future__ import annotations

import pickle

import pytest

from uploadmill import errors
from uploadmill.errors import UploadmillError


def leaves(of: type[UploadmillError] = UploadmillError) -> list[type[UploadmillError]]:
    return [error for child in of.__subclasses__() for error in (child, *leaves(child))]


def example(error: type[UploadmillError]) -> UploadmillError:
    """One of *error*, its arguments guessed from its constructor."""
    samples = {"retry_here": False, "known": ("a", "b"), "limit": 10.0, "actual": 11.0}
    code = getattr(error.__init__, "__code__", None)
    if code is None:
        return error("what is wrong")
    names = code.co_varnames[1 : code.co_argcount]
    return error(*(samples.get(name, f"some {name}") for name in names))


OURS = sorted((e for e in leaves() if e.__module__ == errors.__name__), key=lambda e: e.__name__)


def test_the_drawing_shows_every_error_and_no_other():
    drawn = {
        line.lstrip("│ ├└─").split()[0]
        for line in (errors.__doc__ or "").splitlines()
        if "──" in line
    }
    assert drawn == {error.__name__ for error in OURS}


@pytest.mark.parametrize("error", OURS, ids=lambda error: error.__name__)
def test_an_error_keeps_its_message_and_data_across_processes(error):
    one = example(error)
    other = pickle.loads(pickle.dumps(one))  # noqa: S301 - our own bytes
    assert type(one) is type(other)
    assert (str(one), vars(one)) == (str(other), vars(other))
    assert str(one)


def test_a_code_is_the_class_name_in_snake_case():
    codes = {error.__name__: error.code for error in OURS}
    assert "source_changed" == codes["SourceChanged"]
    assert "storage_unavailable" == codes["StorageUnavailable"]
    assert len(codes) == len(set(codes.values()))


def test_only_what_passes_by_itself_is_transient():
    transient = {error.__name__ for error in OURS if error.transient}
    assert transient == {
        "TransientError",
        "StorageUnavailable",
        "ScannerUnavailable",
        "LedgerUnavailable",
        "WorkspaceUnavailable",
        "JobNotEnded",
    }

"""What all step tasks share: where they find things, and how processors are called."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, Protocol, TypeVar, cast

from celery import Task
from celery.exceptions import SoftTimeLimitExceeded
from pydantic import ValidationError

from uploadmill.backends.ledger.record import Record
from uploadmill.backends.scanner.base import Scanner
from uploadmill.backends.storage.roles import Stores
from uploadmill.errors import StepFailed, UnknownStep, UploadmillError, WorkspaceUnavailable
from uploadmill.pipeline import StepOptions
from uploadmill.tasks.work import Work

P = ParamSpec("P")
R = TypeVar("R")
Options = TypeVar("Options", bound=StepOptions)

#: What writing into a full or broken workspace raises: the node's fault, so the job waits.
_WORKSPACE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Mill(Protocol):
    """What a step task finds in ``self.app.mill``; the worker's wiring builds it per process."""

    stores: Stores
    scanner: Scanner

    def record(self, job_id: str) -> Record:
        """The record of the job this process is working on, as it stands now."""

    def work(self, job_id: str) -> Work:
        """The current step's files and options, of the job this process is working on."""


class StepTask(Task):  # type: ignore[type-arg]
    """The base of every step's Celery task.

    Its only argument is the job id. It raises, and the loop decides: a step never retries
    itself, publishes nothing, and does not know the ledger.
    """

    abstract = True
    #: Errors of ours are outcomes or reasons to wait; Celery logs them without a traceback.
    throws = (UploadmillError,)
    ignore_result = True
    acks_late = True

    @property
    def mill(self) -> Mill:
        """Stores, scanner and the current job."""
        return cast("Mill", self.app.mill)  # type: ignore[attr-defined]

    def work(self, job_id: str) -> Work:
        """The files and options of this run."""
        return self.mill.work(job_id)


def options_of(work: Work, model: type[Options]) -> Options:
    """The step's options as *model* has them.

    Raises:
        UnknownStep: The plan was frozen by a worker that knows more options than this one.
    """
    try:
        return model.model_validate(work.options)
    except ValidationError as error:
        raise UnknownStep(work.step, "this worker does not know all of its options") from error


@contextmanager
def guarded(step: str) -> Iterator[None]:
    """Let our own errors through and give every other one the name of the *step* it broke.

    Raises:
        WorkspaceUnavailable: This node's disk is full or broken; the job waits.
        StepFailed: Anything that is not an :class:`UploadmillError`; its cause is kept.
    """
    try:
        yield
    except (UploadmillError, SoftTimeLimitExceeded):
        raise
    except OSError as error:
        if error.errno in _WORKSPACE_ERRORS:
            raise WorkspaceUnavailable(errno.errorcode[error.errno]) from error
        raise StepFailed(step, type(error).__name__) from error
    except Exception as error:
        raise StepFailed(step, type(error).__name__) from error


def run_processor(step: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a processor: the one place where code that parses uploaded bytes is entered.

    Raises:
        UploadmillError: As the processor raised it, or as :func:`guarded` names it.
    """
    with guarded(step):
        return function(*args, **kwargs)

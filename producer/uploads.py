"""The client that a web app holds: enqueue an upload, follow its job, cancel it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uploadmill.errors import JobNotEnded, JobNotFound, TransientError
from uploadmill.ids import is_job_id
from uploadmill.job import JobResult
from uploadmill.producer import acceptance, clients, replaying, staging
from uploadmill.producer.acceptance import Job
from uploadmill.producer.clients import Clients
from uploadmill.producer.sources import Upload, name_of, type_of
from uploadmill.producer.staging import Request, Staged
from uploadmill.settings import Settings

if TYPE_CHECKING:
    from uploadmill.backends.ledger.lookup import JobStatus
    from uploadmill.backends.storage.reader import Reader

#: Seconds between two looks at a job that is waited for: the first, and the longest.
FIRST_LOOK = 0.05
LONGEST_LOOK = 1.0


class Uploads:
    """What a web app does with uploads. One object serves all threads and forked processes.

    Every method blocks for as long as bytes take to move, and two seconds at most where Redis
    does not answer; under asyncio call them in a thread (``asyncio.to_thread``).

    Args:
        settings: The configuration; read from file and environment when not given.
        connect: What makes a process's clients, for tests.

    Raises:
        InvalidSettings: With all their mistakes, also those for which a store that a producer uses
            cannot be opened.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        connect: Callable[[Settings], Clients] = clients.connect,
    ) -> None:
        self.settings = settings or Settings.load()
        # Each process opens its own; these only show now what the first upload would run into.
        clients.open_stores(self.settings)
        self._connect = connect
        self._by_process: dict[int, Clients] = {}

    def enqueue(
        self,
        source: Upload = None,
        *,
        staged: str | None = None,
        pipeline: str,
        filename: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        owner: str | None = None,
        idempotency_key: str | None = None,
        deadline: float | None = None,
    ) -> Job:
        """Take an upload on: once this returns, its job ends, whatever breaks meanwhile.

        Args:
            source: A path, bytes, a binary file (read from its position, left open), or an
                upload object of Django, Starlette or FastAPI.
            staged: Instead of *source*, the key of an object in the staging store; it is
                copied and stays where it is. The same object is never worked on twice.
            pipeline: The name of a pipeline.
            filename: For display; found from *source* when not given.
            content_type: The type that the client declared; found from *source* likewise.
            metadata: Your own, handed through to the result.
            owner: Whose upload it is; idempotency keys are theirs alone.
            idempotency_key: The same key and owner give the same job, however often.
            deadline: Seconds after which a job that has not ended is given up.

        Raises:
            NotAccepted: Redis or the staging store is out. Nothing will run; try again later.
            AcceptanceUnknown: The job may run. Ask for its status, or again with the same key.
            IdempotencyConflict: The key was used for another upload.
            UnknownPipeline: There is no such pipeline.
            SizeLimitExceeded: There are more bytes than ``max_size``.
            ObjectNotFound: There is no object called *staged*.
            InvalidKey: *staged* is no key of an upload.
            TypeError, ValueError: An argument is at fault; nothing was staged.
        """
        return self.accept(
            self.stage(
                source,
                staged=staged,
                pipeline=pipeline,
                filename=filename,
                content_type=content_type,
                metadata=metadata,
                owner=owner,
                idempotency_key=idempotency_key,
                deadline=deadline,
            )
        )

    def stage(
        self,
        source: Upload = None,
        *,
        staged: str | None = None,
        pipeline: str,
        filename: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        owner: str | None = None,
        idempotency_key: str | None = None,
        deadline: float | None = None,
    ) -> Staged:
        """The first half of :meth:`enqueue`: the bytes are safe and the job's id is known.

        Nothing runs before :meth:`accept`, to be called in this process, when the transaction
        that knows the id has been committed. Bytes that are never accepted just stay.
        """
        if (source is None) is (staged is None):
            raise TypeError("give either a source or the key of a staged object")
        self.settings.steps_of(pipeline)
        request = Request(
            pipeline=pipeline,
            filename=filename or name_of(source),
            content_type=content_type or type_of(source),
            metadata=metadata,
            owner=owner,
            idempotency_key=idempotency_key,
            deadline=deadline,
        )
        return staging.stage(self._clients, request, source, staged)

    def accept(self, staged: Staged) -> Job:
        """The second half of :meth:`enqueue`; raises ``AcceptanceUnknown`` where that does."""
        return acceptance.accept(self._clients, staged)

    def status(self, job_id: str) -> JobStatus:
        """How a job stands.

        Raises:
            JobNotFound: There is no such job.
            StorageUnavailable: Redis does not know the job, and a store does not answer.
        """
        from uploadmill.backends.ledger.lookup import status  # noqa: PLC0415 - imports Redis

        return status(self._clients.settler, _checked(job_id))

    def result(self, job_id: str) -> JobResult:
        """What came of a job, whichever way it ended.

        Raises:
            JobNotEnded: It is still open.
            JobNotFound: There is no such job.
            StorageUnavailable: Redis does not know the job, and a store does not answer.
        """
        status = self.status(job_id)
        if status.result is None:
            raise JobNotEnded(job_id, status.state)
        return status.result

    def wait(self, job_id: str, timeout: float = 60.0) -> JobResult:
        """The same, but waits up to *timeout* seconds for the end, through outages too.

        Raises:
            JobNotEnded: Not within *timeout*.
            JobNotFound: There is no such job.
            StorageUnavailable: The last look, at the end of *timeout*, met an outage.
        """
        end = time.monotonic() + timeout
        pause = FIRST_LOOK
        while True:
            try:
                return self.result(job_id)
            except (JobNotEnded, TransientError):
                left = end - time.monotonic()
                if left <= 0:
                    raise
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_LOOK)

    @contextmanager
    def open(
        self,
        job_id: str,
        output: str,
        *,
        start: int = 0,
        length: int | None = None,
        verify: bool = False,
    ) -> Iterator[Reader]:
        """Read an output of a stored job, in whichever store it is.

        The one that the record names is asked first, then the other; that it was found there is
        noted, and healed.

        Args:
            job_id: Of a job that has ended.
            output: Its name, such as ``large``.
            start: First byte.
            length: Bytes; None: to the end.
            verify: Compare the bytes with their sha256; the last read raises where they differ.

        Raises:
            JobNotFound: There is no such job.
            JobNotEnded: It is still open.
            ObjectNotFound: It has no such output, or that was removed.
            StorageUnavailable: A store that may have it gives no answer.
            IntegrityError: From the reader, with *verify*.
        """
        from uploadmill.backends.ledger.outputs import open_output  # noqa: PLC0415 - imports Redis

        result = self.result(job_id)
        settler = self._clients.settler
        with open_output(
            settler, result, output, start=start, length=length, verify=verify
        ) as reader:
            yield reader

    def cancel(self, job_id: str) -> JobResult:
        """End a job as ``cancelled``, or learn from the result's state that it was too late.

        Raises:
            JobNotFound: There is no such job.
            LedgerUnavailable: Redis does not answer; the job may be cancelled or not.
            StorageUnavailable: The staging store does not answer; likewise.
        """
        return self._clients.settler.cancel(_checked(job_id)).result

    def replay(self, job_id: str) -> Job:
        """Run a failed, rejected or cancelled job again, as a new job, from its kept bytes.

        How the old job ended stays as it is; the new one names it as ``replay_of``. Repeated
        while the replay is open, or after it went well, this gives the same job again.

        Raises:
            ReplayRefused: It did not end badly, or its bytes are gone.
            JobNotEnded: It is still open.
            JobNotFound: There is no such job.
            NotAccepted: Redis or the staging store is out; try again later.
            AcceptanceUnknown: The replay may run; ask again.
        """
        return replaying.replay(self._clients, _checked(job_id))

    def close(self) -> None:
        """Give this process's connections back; the next call makes new ones."""
        made = self._by_process.pop(os.getpid(), None)
        if made is not None:
            made.close()

    @property
    def _clients(self) -> Clients:
        """The clients of this very process: a connection must not cross a fork."""
        pid = os.getpid()
        if pid not in self._by_process:
            # Two threads may both make some; none is connected yet, and one set is kept.
            self._by_process.setdefault(pid, self._connect(self.settings))
        return self._by_process[pid]


def _checked(job_id: str) -> str:
    """*job_id*, which may come out of an address, if it can be one."""
    if not is_job_id(job_id):
        raise JobNotFound(job_id)
    return job_id

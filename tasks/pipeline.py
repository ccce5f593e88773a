"""Run a pipeline in this process: the same processors, without queue, ledger or stores."""

from __future__ import annotations

import asyncio
import mimetypes
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pydantic import JsonValue

from uploadmill.backends.ledger.record import WorkFile
from uploadmill.backends.scanner.base import Scanner
from uploadmill.backends.storage.sources import opener
from uploadmill.errors import StepFailed
from uploadmill.ids import new_nonce
from uploadmill.job import Receipt, ScanCertificate
from uploadmill.pipeline import Commit, Pin, Plan, Scan, Step, StepOptions
from uploadmill.settings import Settings
from uploadmill.tasks.base import guarded
from uploadmill.tasks.pin import freeze
from uploadmill.tasks.processor import custom_step
from uploadmill.tasks.registry import PROCESSORS, expand, own_processors
from uploadmill.tasks.scan import scan
from uploadmill.tasks.work import ORIGINAL, Produced, StepResult, Work, work_files

#: What a pipeline made of step objects is called in its plan; nobody sees it.
UNNAMED = "in-process"


@dataclass(frozen=True, slots=True)
class PipelineOutput:
    """A file that the pipeline produced; size in bytes, width and height in pixels."""

    path: Path
    content_type: str | None
    size: int
    sha256: str
    width: int | None = None
    height: int | None = None

    def read_bytes(self) -> bytes:
        """All of the file, in memory."""
        return self.path.read_bytes()

    def save(self, to: Path | str) -> Path:
        """Copy the file to *to*, into it where that is a folder, and return the copy's path."""
        return Path(shutil.copy(self.path, to))


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stands between two steps; *sha256* is the upload's."""

    work: Work
    sha256: str = ""
    extracted: Mapping[str, JsonValue] = field(default_factory=dict)
    certificate: ScanCertificate | None = None
    receipts: tuple[Receipt, ...] = ()


class PipelineResult:
    """What came of a run. As a context manager it deletes the temporary folder in the end.

    Attributes:
        outputs: The files produced, by name.
        extracted: What the steps found out, merged in their order.
        certificate: Of the scan, where there was one.
        receipts: What each step did.
        folder: Where the outputs lie.
    """

    def __init__(self, state: State, folder: Path, *, temporary: bool) -> None:
        self.folder = folder
        self.outputs: Mapping[str, PipelineOutput] = {
            output: _moved(path, state.work.facts[output], folder)
            for output, path in state.work.files.items()
        }
        self.extracted = state.extracted
        self.certificate = state.certificate
        self.receipts = state.receipts
        self._remove = weakref.finalize(self, shutil.rmtree, folder) if temporary else None

    def close(self) -> None:
        """Delete the temporary folder with the outputs; a folder that you named stays."""
        if self._remove is not None:
            self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Pipeline:
    """Steps to be run over files, one after the other, here and now.

    ``Pipeline([Validate(), Scan(), Resize(large="1920x1080"), Optimize(quality=85)])``. Time
    limits of steps are a worker's affair and have no effect here.

    Args:
        steps: The steps' options, in their order.
    """

    def __init__(self, steps: Sequence[StepOptions]) -> None:
        self.plan = Plan.of(UNNAMED, steps)
        given = [options.scanner for options in steps if isinstance(options, Scan)]
        self._scanner: Scanner | None = given[0] if given else None

    @classmethod
    def named(cls, name: str) -> Self:
        """A pipeline of the settings, or one that comes with uploadmill.

        Raises:
            UnknownPipeline: There is none of this name.
            InvalidSettings: The settings have mistakes.
        """
        pipeline = cls([])
        pipeline.plan = expand(Settings.load(), name)
        return pipeline

    def run(
        self, upload: Path | str | bytes | BinaryIO, *, folder: Path | str | None = None
    ) -> PipelineResult:
        """Run the steps over *upload*.

        Args:
            upload: A path, bytes, or a seekable file that is read from where it stands.
            folder: Where the outputs go, as ``<output>.<extension>``; without it into a temporary
                folder, which goes when the result is closed or forgotten.

        Raises:
            UploadRejected: The content is at fault; also ``InfectedUpload`` and
                ``UnscannableUpload``.
            ScannerUnavailable: No valid answer.
            StepFailed: A processor broke.
        """
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
        workspace = Path(tempfile.mkdtemp(prefix="uploadmill-", dir=folder))
        try:
            state = self._pin(Path(upload) if isinstance(upload, str) else upload, workspace)
            for step in self.plan.steps:
                if step.name not in (Pin.step, Commit.step):
                    state = self._step(state, step)
            result = PipelineResult(state, Path(folder or workspace), temporary=folder is None)
        except BaseException:
            shutil.rmtree(workspace)
            raise
        state.work.original.unlink(missing_ok=True)
        if folder is not None:
            shutil.rmtree(workspace)
        return result

    async def arun(
        self, upload: Path | str | bytes | BinaryIO, *, folder: Path | str | None = None
    ) -> PipelineResult:
        """Do the same as :meth:`run`, in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.run, upload, folder=folder)

    def _pin(self, upload: Path | bytes | BinaryIO, folder: Path) -> State:
        """Copy the upload, so that what is scanned is what is processed, and hash it."""
        limit = Pin.model_validate(self.plan[Pin.step].options).max_size
        stamp = new_nonce()
        target = folder / f"{Pin.step}-{stamp}-{ORIGINAL}"
        began = time.perf_counter()
        with opener(upload)() as source:
            sha256 = freeze(source, target, limit).sha256
        made = StepResult(files={ORIGINAL: Produced(target, sha256=sha256)})
        work = Work(Pin.step, {}, folder, stamp, {}, {}, target)
        return _after(State(work, sha256), Pin.step, made, began)

    def _step(self, state: State, step: Step) -> State:
        """Run one step."""
        began = time.perf_counter()
        work = replace(state.work, step=step.name, options=step.options)
        if step.name == Scan.step:
            result = self._scan(work, state.sha256)
        elif step.name in PROCESSORS:
            result = PROCESSORS[step.name](work)
        else:
            result = custom_step(work, own_processors()[step.name])
        return _after(replace(state, work=work), step.name, result, began)

    def _scan(self, work: Work, sha256: str) -> StepResult:
        """Scan the upload; the certificate must be about the bytes that were pinned."""
        with guarded(Scan.step):
            certificate = scan(work.original, self._scanner or _settings_scanner())
            if certificate.sha256 != sha256:
                raise StepFailed(Scan.step, "the certificate is about other bytes")
        return StepResult(certificate=certificate)


def _after(state: State, step: str, result: StepResult, began: float) -> State:
    """The state after a step: its files are the current ones, those it replaced are gone."""
    before = state.work
    work = replace(before, content_type=result.content_type or before.content_type)
    made = work_files(result)
    if made is not None:
        files = {file.output: work.folder / file.name for file in made}
        work = replace(work, files=files, facts={file.output: file for file in made})
        for path in {*before.files.values()} - {*files.values(), work.original}:
            path.unlink()
    receipt = Receipt(
        step=step,
        ms=round((time.perf_counter() - began) * 1000, 3),
        bytes_in=sum(fact.size for fact in before.facts.values()),
        bytes_out=sum(fact.size for fact in work.facts.values()),
        changed=result.changed,
    )
    return replace(
        state,
        work=work,
        extracted={**state.extracted, **result.extracted},
        certificate=result.certificate or state.certificate,
        receipts=(*state.receipts, receipt),
    )


def _moved(path: Path, fact: WorkFile, folder: Path) -> PipelineOutput:
    """An output under the name that people look for."""
    extension = mimetypes.guess_extension(fact.content_type or "", strict=False) or ""
    return PipelineOutput(
        path.replace(folder / f"{fact.output}{extension}"),
        fact.content_type,
        fact.size,
        fact.sha256,
        fact.width,
        fact.height,
    )


def _settings_scanner() -> Scanner:
    """The scanner that the settings name."""
    from uploadmill.backends.scanner.clamd import ClamdScanner  # noqa: PLC0415 - scans only

    return ClamdScanner.of(Settings.load().scanner)

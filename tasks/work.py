"""What a step is given and what it gives back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from uploadmill.backends.ledger.record import WorkFile
from uploadmill.job import OutputFile, Placement, ScanCertificate

#: The output name of the upload itself, as it was pinned.
ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class Produced:
    """A file that a step has just written into the workspace, or one that it found out about.

    Attributes:
        path: In the workspace.
        content_type: By its content, where known.
        width: In pixels, as displayed.
        height: The same.
        sha256: Where the step knows it; else it is computed from the file.
    """

    path: Path
    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """One run of one step: the files as they stand, and where to write new ones.

    Attributes:
        step: The step's name.
        options: The step's options, as the plan has them.
        folder: The job's workspace on this node.
        stamp: Makes file names of this run unlike those of any other run of the step.
        files: Where each current output lies; ``{"original": …}`` until a step makes others.
        facts: The same files as the record names them: sha256, type, size in pixels.
        original: The pinned upload.
        content_type: Of the upload, by its content, once ``validate`` has run.
    """

    step: str
    options: Mapping[str, JsonValue]
    folder: Path
    stamp: str
    files: Mapping[str, Path]
    facts: Mapping[str, WorkFile]
    original: Path
    content_type: str | None = None

    def target(self, output: str) -> Path:
        """A path for a new file of this run; a killed run never leaves a half file under it."""
        return self.folder / f"{self.step}-{self.stamp}-{output}"

    def content_type_of(self, output: str) -> str | None:
        """The media type of a current output, where a step has found it out."""
        known = self.facts[output].content_type
        return known or (self.content_type if self.files[output] == self.original else None)

    def unchanged(self, output: str) -> Produced:
        """A current output for a result that leaves it as it is."""
        fact = self.facts[output]
        return Produced(self.files[output], fact.content_type, fact.width, fact.height, fact.sha256)


# Without a repr: Celery makes one of every result, and a result may say what is nobody's business.
@dataclass(frozen=True, slots=True, repr=False)
class StepResult:
    """What a step hands to the loop, which hands it to the ledger.

    Attributes:
        files: The job's outputs from now on; None leaves them as they are.
        extracted: Facts found out, merged into the result's ``extracted``.
        changed: What became different, in a few words, for the receipt.
        certificate: Of ``scan``.
        content_type: Of ``validate``: the upload's type by its content.
        src_sha256: Of ``pin``: the upload's sha256.
        outputs: Of ``commit``: the outputs as stored,
        placed: where they are,
        put: and what this run has put, by store and key.
    """

    files: Mapping[str, Produced] | None = None
    extracted: Mapping[str, JsonValue] = field(default_factory=dict)
    changed: str | None = None
    certificate: ScanCertificate | None = None
    content_type: str | None = None
    src_sha256: str | None = None
    outputs: Mapping[str, OutputFile] = field(default_factory=dict)
    placed: Placement | None = None
    put: Sequence[tuple[Placement, str]] = ()


def work_files(result: StepResult) -> tuple[WorkFile, ...] | None:
    """The files of *result* as a record names them; None where the step left all as they are."""
    if result.files is None:
        return None
    return tuple(_work_file(output, made) for output, made in result.files.items())


def _work_file(output: str, made: Produced) -> WorkFile:
    return WorkFile(
        name=made.path.name,
        output=output,
        sha256=made.sha256 or _sha256(made.path),
        size=made.path.stat().st_size,
        content_type=made.content_type,
        width=made.width,
        height=made.height,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

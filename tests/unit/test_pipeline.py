"""A pipeline in process: the same steps, without queue, ledger or stores."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import io
import os
import subprocess
import sys
import threading
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pictures import camera_exif, corners_of, photograph, read, written

from uploadmill import ExtractMetadata, Optimize, Pipeline, Resize, Scan, Validate
from uploadmill.errors import (
    CorruptUpload,
    InfectedUpload,
    ScannerUnavailable,
    SizeLimitExceeded,
    StepFailed,
    UnknownPipeline,
    UnscannableUpload,
    UnsupportedMedia,
)
from uploadmill.job import NotScanned, ScanCertificate
from uploadmill.pipeline import Step, StepOptions
from uploadmill.settings import PipelineSettings, Settings
from uploadmill.tasks import extract_metadata, optimize, registry, resize, validate
from uploadmill.tasks import pipeline as module
from uploadmill.tasks.base import run_processor
from uploadmill.tasks.processor import Processor

EXAMPLE = Path(__file__).parents[2] / "examples" / "processors"


class Answer:
    """A scanner that always says the same."""

    def __init__(self, verdict="clean", *, sha256=None, **more):
        self.verdict, self.sha256, self.more = verdict, sha256, more

    def scan(self, path):
        return ScanCertificate(
            sha256=self.sha256 or hashlib.sha256(path.read_bytes()).hexdigest(),
            verdict=self.verdict,
            engine="test",
            signatures="none",
            scanned_at=datetime.now(UTC),
            **self.more,
        )


def photo(scanner: object) -> Pipeline:
    return Pipeline(
        [
            Validate(),
            Scan(scanner=scanner),
            ExtractMetadata(),
            Resize(large="200x150", thumb="40x40:crop"),
            Optimize(quality=85),
        ]
    )


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder in which temporary folders appear."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_photograph_goes_through_all_steps(tmp_path, temporary):
    content = photograph(400, 300, orientation=6, exif=camera_exif())
    path = written(tmp_path / "photo.jpg", content)

    with photo(Answer()).run(path) as result:
        large = result.outputs["large"]
        assert {"large", "thumb"} == set(result.outputs)
        assert ("image/jpeg", 200, 150) == (large.content_type, large.width, large.height)
        assert hashlib.sha256(large.read_bytes()).hexdigest() == large.sha256
        assert len(large.read_bytes()) == large.size
        assert {name: name for name in corners_of(read(large.path))} == corners_of(read(large.path))
        assert {"large.jpg", "thumb.jpg"} == {file.name for file in result.folder.iterdir()}
        assert 400 == result.extracted["width"]
        assert "Optica" == result.extracted["exif"]["make"]
        assert hashlib.sha256(content).hexdigest() == result.certificate.sha256
        assert ["pin", "validate", "scan", "extract_metadata", "resize", "optimize"] == [
            receipt.step for receipt in result.receipts
        ]
        assert len(content) == result.receipts[1].bytes_in
        assert large.size + result.outputs["thumb"].size == result.receipts[-1].bytes_out
        saved = large.save(tmp_path / "saved.jpg")

    assert saved.exists()
    assert [] == list(temporary.iterdir())
    assert content == path.read_bytes()


def test_all_that_parses_uploaded_bytes_is_entered_at_one_place(monkeypatch):
    entered = []

    def watched(step, function, *args, **kwargs):
        entered.append(step)
        return run_processor(step, function, *args, **kwargs)

    for step in (validate, extract_metadata, resize, optimize):
        monkeypatch.setattr(step, "run_processor", watched)

    with photo(Answer()).run(photograph()):
        pass

    assert ["validate", "extract_metadata", "resize", "optimize"] == list(dict.fromkeys(entered))


@pytest.mark.parametrize("kind", [str, Path, "file", bytes])
def test_an_upload_is_a_path_a_file_or_bytes(tmp_path, temporary, kind):
    path = written(tmp_path / "a", photograph(40, 30))
    upload = {
        str: str(path),
        Path: path,
        "file": io.BytesIO(path.read_bytes()),
        bytes: path.read_bytes(),
    }[kind]

    with Pipeline([Validate(), Optimize(format="webp")]).run(upload) as result:
        assert "image/webp" == result.outputs["original"].content_type
        assert ["original.webp"] == [file.name for file in result.folder.iterdir()]


def test_outputs_can_go_into_a_folder_of_yours(tmp_path, temporary):
    mine = tmp_path / "deep" / "mine"

    with photo(Answer()).run(photograph(), folder=mine) as result:
        assert mine == result.folder

    assert {"large.jpg", "thumb.jpg"} == {file.name for file in mine.iterdir()}
    assert [] == list(temporary.iterdir())


def test_a_forgotten_result_leaves_nothing_behind(temporary):
    photo(Answer()).run(photograph())
    gc.collect()

    assert [] == list(temporary.iterdir())


def test_it_runs_beside_an_event_loop(temporary):
    turned = threading.Event()

    class Waiting(Answer):
        """Answers once the event loop has turned while the pipeline is at its scan."""

        def scan(self, path):
            turned.clear()
            assert turned.wait(10)
            return super().scan(path)

    async def run() -> int:
        async def tick() -> None:
            while True:
                turned.set()
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        async with asyncio.timeout(30):
            with await photo(Waiting()).arun(photograph()) as result:
                ticking.cancel()
                return len(result.outputs)

    assert 2 == asyncio.run(run())


@pytest.mark.parametrize(
    ("scanner", "error"),
    [
        (Answer("infected", signature="Test"), InfectedUpload),
        (Answer("not_scanned", reason=NotScanned.ENCRYPTED), UnscannableUpload),
        (Answer("not_scanned", reason=NotScanned.TIMED_OUT), ScannerUnavailable),
        (Answer(sha256="0" * 64), StepFailed),
    ],
)
def test_without_a_clean_certificate_for_these_bytes_nothing_comes_out(
    tmp_path, temporary, scanner, error
):
    with pytest.raises(error):
        photo(scanner).run(photograph(), folder=tmp_path / "mine")

    assert [] == list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize(
    ("upload", "error"),
    [
        (b"just words\n", UnsupportedMedia),
        (photograph()[:-500], CorruptUpload),
    ],
)
def test_bad_uploads_are_refused_and_leave_nothing(temporary, upload, error):
    with pytest.raises(error):
        photo(Answer()).run(upload)

    assert [] == list(temporary.iterdir())


def test_too_much_is_refused_while_it_is_read(temporary):
    class Endless(io.RawIOBase):
        def read(self, size=-1, /):
            assert size > 0
            return b"x" * size

        def seekable(self):
            return True

        def seek(self, *_):
            return 0

        def tell(self):
            return 0

    with pytest.raises(SizeLimitExceeded):
        Pipeline([Validate(max_size=5_000_000)]).run(Endless())


@pytest.mark.parametrize("steps", [[Validate()], [Validate(), Optimize()], [Resize(a="9x9")]])
def test_a_truncated_jpeg_is_refused_in_whatever_pipeline(temporary, steps):
    whole = photograph()

    with pytest.raises(CorruptUpload):
        Pipeline(steps).run(whole[: len(whole) // 2])


def test_without_resize_the_upload_itself_is_validated_and_kept(temporary):
    with Pipeline([Validate()]).run(photograph(40, 30, orientation=6)) as result:
        kept = result.outputs["original"]
        assert ("image/jpeg", 40, 30) == (kept.content_type, kept.width, kept.height)


def test_a_document_stays_as_it_is(temporary, monkeypatch):
    settings = Settings.model_validate({"scanner": {"required": False}})
    monkeypatch.setattr(Settings, "load", lambda: settings)
    text = "größer\n".encode() * 5

    with Pipeline.named("document").run(text) as result:
        assert text == result.outputs["original"].read_bytes()
        assert "original.txt" == result.outputs["original"].path.name
        assert ("utf-8", 5) == (result.extracted["encoding"], result.extracted["lines"])


def test_optimize_leaves_what_is_no_picture(temporary):
    steps = [Validate(types=("text/plain",)), Optimize()]

    with Pipeline(steps).run(b"words\n") as result:
        assert b"words\n" == result.outputs["original"].read_bytes()


def test_a_pipeline_of_the_settings_goes_by_its_name(temporary, monkeypatch):
    steps = (Step(name="resize", options={"small": "20x20"}), Step(name="optimize"))
    settings = Settings(pipelines={"mine": PipelineSettings(steps=steps)})
    monkeypatch.setattr(Settings, "load", lambda: settings)

    with Pipeline.named("mine").run(photograph(80, 60)) as result:
        assert (20, 15) == (result.outputs["small"].width, result.outputs["small"].height)
    with pytest.raises(UnknownPipeline):
        Pipeline.named("yours")


def test_the_scanner_comes_from_the_settings_unless_one_is_given(temporary, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "_settings_scanner", lambda: asked.append(1) or Answer())

    photo(Answer()).run(photograph(40, 30)).close()
    photo(None).run(photograph(40, 30)).close()

    assert [1] == asked


class Count(StepOptions):
    step = "count"
    stamp: str = ""


def test_a_processor_of_ones_own_sees_each_output_and_may_replace_it(temporary, monkeypatch):
    def count(source, target, options):
        if source.name.endswith("-b"):
            target.write_bytes(b"replaced by words\n")
        return {source.name[-1]: options.stamp}

    monkeypatch.setattr(module, "own_processors", lambda: {"count": Processor(count, Count)})
    steps = [Resize(a="20x20", b="10x10"), Count(stamp="seen"), Optimize()]

    with Pipeline(steps).run(photograph(40, 30)) as result:
        assert {"a": "seen", "b": "seen"} == result.extracted
        assert "image/jpeg" == result.outputs["a"].content_type
        assert "text/plain" == result.outputs["b"].content_type
        assert "replaced b" == result.receipts[2].changed


@pytest.mark.parametrize("answer", [{"a": object()}, "words", {1: 2}])
def test_a_processor_that_returns_no_json_has_failed(temporary, monkeypatch, answer):
    processor = Processor(lambda *_: answer, Count)
    monkeypatch.setattr(module, "own_processors", lambda: {"count": processor})

    with pytest.raises(StepFailed, match="not a JSON object"):
        Pipeline([Count()]).run(b"words")


def test_the_example_package_is_found_once_installed(tmp_path):
    # Given the example, installed as pip would leave it: its module and its entry points
    site = tmp_path / "site"
    info = site / "uploadmill_grey-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "uploadmill_grey.py").write_bytes((EXAMPLE / "uploadmill_grey.py").read_bytes())
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    points = project["entry-points"][registry.GROUP].items()
    listed = "\n".join(f"{name} = {value}" for name, value in points)
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{listed}\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: uploadmill-grey\nVersion: 1.0\n")
    path = written(tmp_path / "portrait.jpg", photograph(80, 60))

    # When the program of docs/processors.md runs beside it
    docs = (EXAMPLE.parents[1] / "docs" / "processors.md").read_text()
    program = docs.split("```python")[-1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )

    # Then its picture is grey
    assert "" == done.stderr
    assert int(done.stdout) > 40
    assert "L" == read(tmp_path / "grey.jpg").mode

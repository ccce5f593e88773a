"""This machine: libmagic, Pillow's codecs, and room for the workspaces."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

from uploadmill.settings import Settings
from uploadmill.worker.checks.configured import max_size, plans
from uploadmill.worker.checks.finding import Finding, fault, good, warning

#: The first bytes of a file of each kind, and what libmagic must call it.
SAMPLES = {
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02",
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "application/pdf": b"%PDF-1.7\n",
    "text/plain": b"Just words.\n",
}

#: What Pillow needs to have been built with, and what fails without.
CODECS = {
    "jpg": "JPEG pictures",
    "zlib": "PNG pictures",
    "webp": "WebP pictures",
    "littlecms2": "pictures with a colour profile",
}

#: How many times the largest upload must fit into the workspace: the upload and what is made of it.
ROOM = 3


def check_libmagic(_: Settings) -> Iterator[Finding]:
    """Types are told by content."""
    how = "Debian: apt-get install libmagic1   macOS: brew install libmagic"
    try:
        import magic  # noqa: PLC0415 - it is looked for

        wrong = {
            kind: found
            for kind, start in SAMPLES.items()
            if (found := magic.from_buffer(start, mime=True)) != kind
        }
    except Exception as error:  # noqa: BLE001 - an ImportError, or whatever a broken one raises
        yield fault("libmagic", f"not usable ({error})", "no type can be told by content", how)
        return
    if wrong:
        told = ", ".join(f"{kind} is called {found}" for kind, found in wrong.items())
        yield fault("libmagic", told, "good uploads are rejected", f"a newer one. {how}")
    else:
        yield good("libmagic", f"tells {', '.join(SAMPLES)}")


def check_codecs(_: Settings) -> Iterator[Finding]:
    """Pillow has its codecs."""
    try:
        from PIL import features  # noqa: PLC0415 - it is looked for
    except ImportError as error:
        yield fault("codecs", str(error), "no picture is worked on", "install uploadmill[worker]")
        return
    missing = [name for name in CODECS if not features.check(name)]
    for name in missing:
        how = "install Pillow from its wheel, or build it with the library"
        yield fault("codecs", f"Pillow lacks {name}", f"{CODECS[name]} are rejected", how)
    if not features.check("libjpeg_turbo"):
        how = "install Pillow from its wheel"
        yield warning("codecs", "Pillow uses plain libjpeg", "JPEG takes three times as long", how)
    if not missing:
        yield good("codecs", f"Pillow {features.version('pil')} has {', '.join(CODECS)}")


def check_workspace(settings: Settings) -> Iterator[Finding]:
    """The workspace can be written, and the largest upload fits."""
    path = settings.worker.workspace
    how = "set worker.workspace to a folder on a disk of this machine that this user may write"
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            free = shutil.disk_usage(path).free
    except OSError as error:
        what = f"{path}: {error.strerror}"
        yield fault("workspace", what, "this worker gives every job back", how)
        return
    largest = max((max_size(plan) for plan in plans(settings).values()), default=0)
    if free < ROOM * largest:
        why = f"an upload of {largest:,} bytes and its outputs may not fit; the job would wait"
        yield warning("workspace", f"{path}: {free:,} bytes free", why, "free some, or move it")
    else:
        yield good("workspace", f"{path}: {free / 1e9:.1f} GB free")

"""The worker's application, which sends to S3 by parts what is not quite so large.

A commit of 6 MB then goes the way of one of 100, and hundreds of them are quick.
"""

from uploadmill.backends.storage.s3 import S3Storage
from uploadmill.worker.celery_app import app

__all__ = ["app"]

S3Storage.__init__.__kwdefaults__.update(part_size=5 << 20, stream_limit=5 << 20)

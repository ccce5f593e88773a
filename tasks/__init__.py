"""The processors: one file, one plain function, one thin Celery task."""

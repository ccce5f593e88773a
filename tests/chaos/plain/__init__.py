"""What Celery alone loses when its workers are killed: why no promise rests on a message."""

"""The systems outside: storage, scanner, ledger. Streams and keys; no Celery, no tasks."""

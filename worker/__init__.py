from uploadmill.worker.celery_app import app as app

"""The least that Django needs. Run it with ``django-admin migrate --run-syncdb`` and ``runserver``.

uploadmill has a configuration of its own: ``uploadmill.toml`` and ``UPLOADMILL_…``.
"""

import os

SECRET_KEY = os.environ.get("GALLERY_SECRET_KEY", "for trying out only")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
INSTALLED_APPS = ["gallery"]
ROOT_URLCONF = "gallery.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("GALLERY_DATABASE", "gallery.sqlite3"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

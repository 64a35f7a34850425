"""What django-celery-beat needs of Django: one database, named by the environment."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.load import DATABASE


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path[1:]}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": parts.username,
        "HOST": parts.hostname,
        "PORT": parts.port,
    }


DATABASES = {"default": _database(os.environ[DATABASE])}
INSTALLED_APPS = ["django_celery_beat"]
SECRET_KEY = "benchmark"
USE_TZ = True
TIME_ZONE = "UTC"

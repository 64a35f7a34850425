"""First steps with Django: settings under `CELERY_`, tasks found in the installed apps."""

from __future__ import annotations

from tests.guides.newcomer import Newcomer

SETTINGS = """
    SECRET_KEY = 'for tests alone'
    INSTALLED_APPS = ['cats']
    DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'site.db'}}
    USE_TZ = True
    TIME_ZONE = 'Asia/Shanghai'

    GREETING = 'Hello'

    CELERY_BROKER_URL = '$BROKER'
    CELERY_RESULT_BACKEND = '$BACKEND'
    CELERY_TIMEZONE = TIME_ZONE
    CELERY_TASK_TRACK_STARTED = True
    CELERY_BEAT_SCHEDULE = {
        'greet': {'task': 'cats.tasks.greet', 'schedule': 1.0, 'args': ('cat',)},
    }
    CELERY_QBEAT_STORE = 'site-beat.db'
"""

CELERY = """
    import os

    from celery import Celery

    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')

    app = Celery('mysite')
    app.config_from_object('django.conf:settings', namespace='CELERY')
    app.autodiscover_tasks()
"""

INIT = """
    from .celery import app as celery_app

    __all__ = ('celery_app',)
"""

MODELS = """
    from django.db import models

    class Cat(models.Model):
        name = models.CharField(max_length=50)
"""

TASKS = """
    from celery import shared_task
    from django.conf import settings

    @shared_task
    def greet(name):
        from cats.models import Cat
        return f'{settings.GREETING}, {name}! {Cat.objects.count()} cats'
"""

PLAIN_SETTINGS = """
    from datetime import timedelta

    GREETING = 'Hello'

    CELERY_BROKER_URL = '$BROKER'
    CELERY_RESULT_BACKEND = '$BACKEND'
    CELERY_TASK_SERIALIZER = 'json'
    CELERY_TIMEZONE = 'Asia/Shanghai'
    CELERY_BEAT_SCHEDULE = {
        'greet': {'task': 'tasks.greet', 'schedule': timedelta(seconds=1), 'args': ('cat',)},
    }
    CELERY_QBEAT_STORE = 'site-beat.db'
"""

PLAIN_TASKS = """
    from celery import Celery

    import settings

    app = Celery('tasks')
    app.config_from_object('settings', namespace='CELERY')

    @app.task
    def greet(name):
        return f'{settings.GREETING}, {name}!'
"""


def test_an_app_with_settings_under_a_namespace(newcomer: Newcomer) -> None:
    newcomer.writes("settings.py", PLAIN_SETTINGS)
    newcomer.writes("tasks.py", PLAIN_TASKS)
    _run_and_check(newcomer, "tasks", "Hello, cat!")


def test_a_django_project(newcomer: Newcomer) -> None:
    newcomer.writes("mysite/__init__.py", INIT)
    newcomer.writes("mysite/settings.py", SETTINGS)
    newcomer.writes("mysite/celery.py", CELERY)
    newcomer.writes("cats/__init__.py", "")
    newcomer.writes("cats/models.py", MODELS)
    newcomer.writes("cats/tasks.py", TASKS)
    newcomer.runs("-m", "django", "migrate", "--run-syncdb", "--settings", "mysite.settings")
    _run_and_check(newcomer, "mysite", "Hello, cat! 0 cats")


def _run_and_check(newcomer: Newcomer, app: str, greeting: str) -> None:
    newcomer.store = "site-beat.db"
    newcomer.runs_qbeat(app)
    newcomer.runs_worker(app)
    [task_id] = newcomer.task_ids("greet")
    assert newcomer.finished(task_id).result == greeting
    [entry] = newcomer.asks_qbeat("list")
    assert entry["timezone"] == "Asia/Shanghai"

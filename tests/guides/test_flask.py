"""Celery in a Flask application: `make_celery` with a `ContextTask`, and today's `celery_init_app`."""

from __future__ import annotations

from tests.guides.newcomer import Newcomer

MAKE_CELERY = """
    from celery import Celery
    from flask import Flask, current_app

    def make_celery(app):
        celery = Celery(
            app.import_name,
            backend=app.config['CELERY_RESULT_BACKEND'],
            broker=app.config['CELERY_BROKER_URL'],
        )
        celery.conf.update(app.config)

        class ContextTask(celery.Task):
            def __call__(self, *args, **kwargs):
                with app.app_context():
                    return self.run(*args, **kwargs)

        celery.Task = ContextTask
        return celery

    app = Flask(__name__)
    app.config.update(
        CELERY_BROKER_URL='$BROKER',
        CELERY_RESULT_BACKEND='$BACKEND',
        CELERYBEAT_SCHEDULE={'add': {'task': 'hello.add', 'schedule': 1.0, 'args': (23, 42)}},
        CELERY_TIMEZONE='Asia/Shanghai',
        GREETING='Hello',
    )
    celery = make_celery(app)

    @celery.on_after_configure.connect
    def setup_periodic_tasks(sender, **kwargs):
        sender.add_periodic_task(1.0, greet.s('cat'), name='greet')

    @celery.task()
    def add(a, b):
        return a + b

    @celery.task()
    def greet(name):
        return f"{current_app.config['GREETING']}, {name}!"
"""

CELERY_INIT_APP = """
    from celery import Celery, Task, shared_task
    from flask import Flask, current_app

    def celery_init_app(app: Flask) -> Celery:
        class FlaskTask(Task):
            def __call__(self, *args: object, **kwargs: object) -> object:
                with app.app_context():
                    return self.run(*args, **kwargs)

        celery_app = Celery(app.name, task_cls=FlaskTask)
        celery_app.config_from_object(app.config["CELERY"])
        celery_app.set_default()
        app.extensions["celery"] = celery_app
        return celery_app

    def create_app() -> Flask:
        app = Flask(__name__)
        app.config.from_mapping(
            CELERY=dict(
                broker_url="$BROKER",
                result_backend="$BACKEND",
                beat_schedule={"greet": {"task": "greet", "schedule": 1.0, "args": ["cat"]}},
            ),
            GREETING="Good day",
        )
        celery_init_app(app)
        return app

    @shared_task(name="greet")
    def greet(name: str) -> str:
        return f"{current_app.config['GREETING']}, {name}!"
"""

MAKE_CELERY_APP = """
    from hello import create_app

    flask_app = create_app()
    celery_app = flask_app.extensions["celery"]
"""


def test_a_periodic_task_of_make_celery_sees_the_application_context(newcomer: Newcomer) -> None:
    newcomer.writes("hello.py", MAKE_CELERY)
    # `celery -A hello` would stumble over the Flask object `hello.app`; qbeat finds the one Celery app there.
    newcomer.runs_qbeat("hello")
    newcomer.runs_worker("hello.celery")
    task_ids = newcomer.task_ids("greet", "add")
    assert [newcomer.finished(task_id).result for task_id in task_ids] == ["Hello, cat!", 65]
    assert {entry["timezone"] for entry in newcomer.asks_qbeat("list")} == {"Asia/Shanghai"}


def test_a_periodic_task_of_celery_init_app_sees_the_application_context(newcomer: Newcomer) -> None:
    newcomer.writes("hello.py", CELERY_INIT_APP)
    newcomer.writes("make_celery.py", MAKE_CELERY_APP)
    newcomer.runs_qbeat("make_celery")
    newcomer.runs_worker("make_celery")
    [greeting] = newcomer.task_ids("greet")
    assert newcomer.finished(greeting).result == "Good day, cat!"

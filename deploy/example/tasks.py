"""The app of the examples in this folder. CELERY_BROKER_URL says where its broker is."""

from celery import Celery

app = Celery("tasks")


@app.task
def check_cat():
    print("meow")


@app.on_after_configure.connect
def every_ten_seconds(sender, **kwargs):
    sender.add_periodic_task(10, check_cat.s())

"""qbeat inside Celery's own commands: ``celery beat -S qbeat``, ``celery worker -B``, ``celery qbeat``. Light."""

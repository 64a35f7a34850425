"""What `qbeat demo` runs: a Celery app, a broker in a folder, and the check that each fire time ran once."""

"""Celery's own guides, run as they stand: real workers, and qbeat in the place of `celery beat`."""

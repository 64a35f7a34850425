"""qbeat: the periodic scheduler for Celery that remembers what has fired."""

__version__ = "0.1.0"

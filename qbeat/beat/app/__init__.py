"""Reads a Celery app: finds it, loads it in Celery's own order, and makes entries of what it declares. Light."""

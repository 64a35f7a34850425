"""The memory: what is known about entries and firings, claimed atomically."""

from qbeat.store.opening import open_store

__all__ = ["open_store"]

"""The memory: what is known about entries and firings, claimed atomically."""

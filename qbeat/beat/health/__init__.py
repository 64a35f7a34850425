"""Whether qbeat lives, and how it fares: metrics, a watchdog, a port, the words for systemd."""

"""How the health port is written."""

from __future__ import annotations

from qbeat.beat.errors import SettingError


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``127.0.0.1:9808``, ``[::1]:9808``, ``:9808`` (everywhere) or ``9808`` (here)."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        port = ""
    if not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the highest port there is
        raise SettingError(f"the health port is {text!r}; give an address such as 127.0.0.1:9808")
    if not host:
        host = "0.0.0.0" if text.startswith(":") else "127.0.0.1"  # noqa: S104 - asked for
    return host, int(port)

"""Whether a host's name can be one: resolvers raise over those that cannot, each in words of its own."""

from __future__ import annotations

from qbeat.store.base import StoreUnusable


def check_host(host: str) -> None:
    """Raise ``StoreUnusable`` for a name, or several with commas between them, that no host can have."""
    try:
        for name in host.split(","):
            name.encode("idna")
    except UnicodeError as error:
        raise StoreUnusable(
            "the host in the store's URL has no name that there can be: name parts of 1 to 63 characters, "
            "with a dot between them"
        ) from error

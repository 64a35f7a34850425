"""Message queues as files in one folder, safe for any number of processes of one machine.

Every step that another process may see is one ``rename`` or one ``unlink``: a message is written under a
hidden name and then renamed into its queue, and it is taken by renaming it into the folder of its taker, so
no reader meets half a message and no two takers get the same one. A taker holds a file lock for as long as
its process lives; whoever finds that lock free gives the dead taker's messages back to their queues.

    queues/<queue>/<name>             messages waiting, oldest name first
    bindings/<exchange>/<digest>      one file for each binding
    owners/<id>/lock                  held while the process lives
    owners/<id>/taken/<queue>,<name>  messages taken and not yet acknowledged
    owners/<id>/queues/<queue>        queues that go when this process goes
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import shutil
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator


class Binding(NamedTuple):
    """One queue bound to an exchange; ``pattern`` is the regular expression of a topic binding, or empty."""

    routing_key: str
    pattern: str
    queue: str


class MessageFolder:
    """One process's view of the queues under ``root``. Create it with ``open_folder``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._id = uuid.uuid4().hex
        self._counter = itertools.count()
        self._owner_lock: IO[bytes] | None = None
        self._mutex = threading.Lock()
        for part in ("queues", "bindings", "owners"):
            (root / part).mkdir(parents=True, exist_ok=True)

    # Waiting messages

    def put(self, queue: str, message: bytes) -> None:
        """Append a message to a queue, which is made if it is not there."""
        self._write(self._queue(queue) / self._next_name(), message)

    def names(self, queue: str) -> list[str]:
        """Return the names of the waiting messages, oldest first.

        What is put there meanwhile may miss, but none is returned before an older one of its publisher: a listing
        is no snapshot, it may have the newer one and not the older. What was put before anything that one listing
        has is in the next.
        """
        newest: dict[str, str] = {}
        for name in self._listing(queue):
            newest[_publisher_of(name)] = max(name, newest.get(_publisher_of(name), ""))
        return sorted(name for name in self._listing(queue) if name <= newest.get(_publisher_of(name), ""))

    def has_queue(self, queue: str) -> bool:
        """Say whether the queue has been made."""
        return self._queue(queue).is_dir()

    def create_queue(self, queue: str, *, temporary: bool = False) -> None:
        """Make a queue; a temporary one goes when the process that made it goes."""
        if temporary:
            owner = self._own()
            with self._recovery_lock():
                (owner / "queues" / _quoted(queue)).touch()
        self._queue(queue).mkdir(exist_ok=True)

    def purge(self, queue: str) -> int:
        """Remove the waiting messages of a queue and return how many they were."""
        return sum(_unlinked(self._queue(queue) / name) for name in self.names(queue))

    def delete_queue(self, queue: str) -> None:
        """Remove a queue, what waits in it and its bindings."""
        for exchange in (self._root / "bindings").iterdir():
            for path, binding in _read_bindings(exchange):
                if binding.queue == queue:
                    _unlinked(path)
        shutil.rmtree(self._queue(queue), ignore_errors=True)

    # Taken messages

    def take(self, queue: str, name: str) -> str | None:
        """Take one waiting message and return its tag, or ``None`` if somebody else was faster."""
        tag = f"{_quoted(queue)},{name}"
        try:
            (self._queue(queue) / name).rename(self._own() / "taken" / tag)
        except FileNotFoundError:
            return None
        return tag

    def read(self, tag: str) -> bytes:
        """Return the body of a message that this process has taken."""
        return self._taken(tag).read_bytes()

    def drop(self, tag: str) -> None:
        """Forget a taken message: it is done with."""
        _unlinked(self._taken(tag))

    def give_back(self, tag: str) -> None:
        """Put a taken message back where it was in its queue."""
        with suppress(FileNotFoundError):
            self._return(self._taken(tag))

    def recover(self) -> int:
        """Give back what processes that are gone had taken, remove their temporary queues, count the messages."""
        owners = [path for path in (self._root / "owners").iterdir() if not path.name.startswith(".")]
        return sum(self._recover_owner(owner) for owner in owners if owner.name != self._id)

    # Bindings

    def bind(self, exchange: str, binding: Binding) -> None:
        """Bind a queue to an exchange; a binding that is there already stays."""
        path = self._binding(exchange, binding)
        if not path.exists():
            self._write(path, json.dumps(binding).encode())

    def unbind(self, exchange: str, binding: Binding) -> None:
        """Remove a binding, if it is there."""
        _unlinked(self._binding(exchange, binding))

    def bindings(self, exchange: str) -> list[Binding]:
        """Return the bindings of an exchange."""
        return [binding for _, binding in _read_bindings(self._root / "bindings" / _quoted(exchange))]

    # The file system

    def _listing(self, queue: str) -> list[str]:
        try:
            found = os.listdir(self._queue(queue))  # noqa: PTH208 - a Path for each name would cost more than the listing
        except FileNotFoundError:
            return []
        return [name for name in found if not name.startswith(".")]

    def _queue(self, queue: str) -> Path:
        return self._root / "queues" / _quoted(queue)

    def _taken(self, tag: str) -> Path:
        return self._root / "owners" / self._id / "taken" / tag

    def _binding(self, exchange: str, binding: Binding) -> Path:
        digest = hashlib.sha256(json.dumps(binding).encode()).hexdigest()
        return self._root / "bindings" / _quoted(exchange) / digest

    def _next_name(self) -> str:
        # The wall clock, not the monotonic one: order must outlast a reboot and hold between processes.
        return f"{time.time_ns():020d}-{next(self._counter):08d}-{self._id}"

    def _write(self, path: Path, content: bytes) -> None:
        hidden = path.with_name(f".{self._id}-{next(self._counter)}")
        while True:
            path.parent.mkdir(exist_ok=True)
            # The folder can be deleted between any two of these steps; then it is made anew.
            with suppress(FileNotFoundError):
                hidden.write_bytes(content)
                hidden.rename(path)
                return

    def _return(self, taken: Path) -> None:
        queue, _, name = taken.name.rpartition(",")
        folder = self._root / "queues" / queue
        folder.mkdir(exist_ok=True)
        taken.rename(folder / name)

    # Owners

    def _own(self) -> Path:
        """Return this process's own folder, made and locked at first use."""
        owner = self._root / "owners" / self._id
        with self._mutex:
            if self._owner_lock is None:
                self._owner_lock = _locked_owner(owner)
        return owner

    def _recover_owner(self, owner: Path) -> int:
        with self._recovery_lock(), _lock_of_dead(owner) as dead:
            if not dead:
                return 0
            messages = sorted((owner / "taken").iterdir())
            for message in messages:
                self._return(message)
            for marker in (owner / "queues").iterdir():
                if not self._owned_by_another(marker):
                    self.delete_queue(unquote(marker.name[1:]))
            shutil.rmtree(owner, ignore_errors=True)
            return len(messages)

    def _owned_by_another(self, marker: Path) -> bool:
        # A worker that comes back under its old name declares its old control queue.
        return any(other != marker for other in (self._root / "owners").glob(f"*/queues/{marker.name}"))

    @contextmanager
    def _recovery_lock(self) -> Iterator[None]:
        with (self._root / "recovery.lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


_folders: dict[tuple[int, Path], MessageFolder] = {}


def open_folder(root: Path) -> MessageFolder:
    """Return this process's folder under ``root``; the folders on disk are made if they are not there."""
    # By process, since a forked child must not pass for its parent: the parent's lock does not cover it.
    key = (os.getpid(), root.absolute())
    if key not in _folders:
        _folders[key] = MessageFolder(key[1])
    return _folders[key]


def _publisher_of(name: str) -> str:
    return name.rpartition("-")[2]


def _quoted(name: str) -> str:
    # The prefix keeps "", "." and ".." from being names of folders, and every name from being hidden.
    return "=" + quote(name, safe="")


def _unlinked(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _read_bindings(exchange: Path) -> Iterator[tuple[Path, Binding]]:
    if not exchange.is_dir():
        return
    for path in sorted(exchange.iterdir()):
        if not path.name.startswith("."):
            with suppress(FileNotFoundError):
                yield path, Binding(*json.loads(path.read_bytes()))


def _locked_owner(owner: Path) -> IO[bytes]:
    # The folder shows itself only when its lock is held, so nobody can take it for a dead one.
    hidden = owner.with_name(f".{owner.name}")
    for part in ("taken", "queues"):
        (hidden / part).mkdir(parents=True)
    file = (hidden / "lock").open("wb")
    # A POSIX record lock belongs to the process alone: a forked child neither has nor keeps it.
    fcntl.lockf(file, fcntl.LOCK_EX)
    hidden.rename(owner)
    return file


@contextmanager
def _lock_of_dead(owner: Path) -> Iterator[bool]:
    """Yield whether the owner is dead, holding its lock if it is."""
    try:
        file = (owner / "lock").open("r+b")
    except FileNotFoundError:
        yield False
        return
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            yield False
        else:
            yield True

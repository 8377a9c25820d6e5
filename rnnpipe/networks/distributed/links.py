"""Connections between the chief of a training and each of the others, who prove that they know a key.

The chief alone listens. Who connects is answered nothing that matters before both sides have shown
by HMAC-SHA256 over fresh random bytes that they hold the training's key; the key itself never travels.
What travels afterwards are arrays and JSON, never pickles: whoever holds the key can spoil a training,
and cannot run code. Nothing is encrypted.

Each side sends a sign of life every few seconds, whatever it is busy with, so that one that hangs, or
whose network is gone, is told from one that computes.
"""

import contextlib
import hashlib
import hmac
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

KEY_BYTES = 32
SILENCE_SECONDS = 15  # after which the other side counts as lost
_LIFE_SECONDS = 4.0  # from one sign of life to the next
_HANDSHAKE_SECONDS = 10
_PAUSE_SECONDS = 0.2
_MAGIC = b"rnnpipe1"
_NONCE_BYTES = 32
_MOST_STRANGERS = 32  # who are being asked for the key at the same time
_ALIVE, _ASK, _DATA = range(3)
_HEADER = struct.Struct(">BQ")  # kind and length of what follows
_RANK = struct.Struct(">II")  # who connects, and of how many


class LostError(Exception):
    """The other side is gone, or never proved who it is; ``rank`` says who."""

    def __init__(self, rank: int, reason: str) -> None:
        super().__init__(reason)
        self.rank = rank


class Link:
    """One side of a connection whose other side knows the key."""

    def __init__(self, connection: socket.socket, rank: int) -> None:
        """Take a connection over.

        Args:
            connection: after the handshake.
            rank: of the other side.
        """
        self.rank = rank
        self._socket = connection
        self._sending = threading.Lock()
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Of each wait, not of a whole message, however long that is.
        limit = struct.pack("@ll", SILENCE_SECONDS, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, option, limit)

    def send(self, content: "bytes | bytearray | memoryview") -> None:
        """Send what the other side waits for.

        Raises:
            LostError: the other side is gone, or takes nothing.
        """
        self._send(_DATA, content)

    def ask(self) -> None:
        """Tell the other side, which waits in :meth:`wait_until_asked`, that it may send."""
        self._send(_ASK, b"")

    def wait_until_asked(self) -> None:
        """Wait until the other side reads: what is sent then does not lie about for minutes."""
        self._receive(_ASK)

    def receive(self) -> bytearray:
        """Wait for what the other side sends, as long as it gives signs of life.

        Raises:
            LostError: the other side is gone, or silent.
        """
        return self._receive(_DATA)

    def say_alive(self) -> None:
        """Give a sign of life, unless something is being sent right now."""
        if self._sending.acquire(blocking=False):
            try:
                self._socket.sendall(_HEADER.pack(_ALIVE, 0))
            except OSError:
                pass  # whoever works with the link will find it, and say so
            finally:
                self._sending.release()

    def close(self) -> None:
        """Close the connection; the other side reads its end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread of ours that reads it
        self._socket.close()

    def _send(self, kind: int, content: "bytes | bytearray | memoryview") -> None:
        with self._sending:
            try:
                self._socket.sendall(_HEADER.pack(kind, len(content)))
                if content:
                    self._socket.sendall(content)
            except OSError as error:
                raise LostError(self.rank, _said(error)) from None

    def _receive(self, wanted: int) -> bytearray:
        try:
            while True:
                kind, length = _HEADER.unpack(_read(self._socket, _HEADER.size))
                if kind == wanted:
                    return _read(self._socket, length)
                if kind != _ALIVE:
                    raise LostError(self.rank, "it is at another place of the training")
        except (OSError, EOFError) as error:
            raise LostError(self.rank, _said(error)) from None


@contextlib.contextmanager
def keep_alive(links: Mapping[int, Link]) -> Iterator[None]:
    """Give signs of life on all links within the block, and close them at its end."""
    over = threading.Event()

    def live() -> None:
        while not over.wait(_LIFE_SECONDS):
            for link in links.values():
                link.say_alive()

    thread = threading.Thread(target=live, name="signs-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for link in links.values():
            link.close()


def listen(host: str, port: int = 0) -> socket.socket:
    """Listen on one interface alone.

    Args:
        host: an address of this machine, or a name of one.
        port: 0 for any that is free.

    Raises:
        OSError: it is no address of this machine, or the port is taken.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_MOST_STRANGERS)
    except OSError:
        listener.close()
        raise
    return listener


class Reception:
    """Lets in who knows the key; of who does not, one may be told."""

    def __init__(
        self, listener: socket.socket, key: bytes, size: int, on_refused: Callable[[str], None]
    ) -> None:
        """Begin to let the others in.

        Args:
            listener: of the chief; it is closed at the end.
            key: of the training.
            size: how many take part, the chief among them.
            on_refused: called with the address of who did not prove to know the key.
        """
        self._listener, self._key, self._size = listener, key, size
        self._on_refused = on_refused
        self._places = threading.BoundedSemaphore(_MOST_STRANGERS)
        self._changed = threading.Lock()
        self._open = True
        self.links: dict[int, Link] = {}  # by rank
        threading.Thread(target=self._accept, name="reception", daemon=True).start()

    def close(self) -> dict[int, Link]:
        """Let nobody in any more, and return who is here."""
        with self._changed:
            self._open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        return self.links

    def _accept(self) -> None:
        while self._open:
            self._places.acquire()
            try:
                connection, address = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._admit, args=(connection, address), daemon=True).start()

    def _admit(self, connection: socket.socket, address: Any) -> None:
        # In a thread of its own: a stranger who says nothing keeps nobody waiting.
        try:
            rank = _greet(connection, self._key, self._size)
            with self._changed:
                if not self._open:
                    raise OSError
                # One who comes a second time has lost the first connection.
                if earlier := self.links.get(rank):
                    earlier.close()
                self.links[rank] = Link(connection, rank)
        except (OSError, EOFError, LostError):
            connection.close()
            if self._open:
                self._on_refused(str(address[0]))
        finally:
            self._places.release()


def connect(host: str, port: int, key: bytes, rank: int, size: int) -> Link:
    """Connect to the chief, once.

    Raises:
        OSError: nobody answers there, or not in time.
        LostError: who answers does not know the key, or expects another training.
    """
    connection = socket.create_connection((host, port), timeout=_HANDSHAKE_SECONDS)
    end = time.monotonic() + _HANDSHAKE_SECONDS
    try:
        theirs = _read(connection, len(_MAGIC) + _NONCE_BYTES, end)
        if not theirs.startswith(_MAGIC):
            raise LostError(0, "who answers speaks otherwise")
        ours = secrets.token_bytes(_NONCE_BYTES)
        told = bytes(theirs) + ours + _RANK.pack(rank, size)
        connection.sendall(ours + _RANK.pack(rank, size) + _proof(key, b"worker", told))
        proof = _read(connection, hashlib.sha256().digest_size, end)
        if not hmac.compare_digest(proof, _proof(key, b"chief", told)):
            raise LostError(0, "who answers does not know the training's key")
        return Link(connection, 0)
    except EOFError:
        connection.close()
        raise LostError(0, "the chief refused: another key, or another train.workers") from None
    except BaseException:
        connection.close()
        raise


def wait_for(attempt: Callable[[], "Link | None"], seconds: float) -> "tuple[Link | None, str]":
    """Try to connect until it succeeds; return the link, or None and what the last try met."""
    end, reason = time.monotonic() + seconds, "it has not come"
    while True:
        try:
            if link := attempt():
                return link, ""
        except (OSError, LostError) as error:
            reason = _said(error)
        if time.monotonic() > end:
            return None, reason
        time.sleep(_PAUSE_SECONDS)


def _greet(connection: socket.socket, key: bytes, size: int) -> int:
    """Have who connects prove that it knows the key, then do so too; return its rank."""
    end = time.monotonic() + _HANDSHAKE_SECONDS
    ours = _MAGIC + secrets.token_bytes(_NONCE_BYTES)
    connection.sendall(ours)
    answer = _read(connection, _NONCE_BYTES + _RANK.size + hashlib.sha256().digest_size, end)
    told = ours + bytes(answer[: _NONCE_BYTES + _RANK.size])
    rank, of = _RANK.unpack(told[-_RANK.size :])
    if not hmac.compare_digest(answer[_NONCE_BYTES + _RANK.size :], _proof(key, b"worker", told)):
        raise LostError(-1, "it does not know the key")
    if of != size or not 0 < rank < size:
        raise LostError(-1, f"it is worker {rank} of {of}")
    connection.sendall(_proof(key, b"chief", told))
    return int(rank)


def _proof(key: bytes, side: bytes, told: bytes) -> bytes:
    return hmac.digest(key, side + told, "sha256")


def _read(connection: socket.socket, length: int, end: float | None = None) -> bytearray:
    content = bytearray(length)
    view = memoryview(content)
    while view:
        if end is not None:
            connection.settimeout(max(end - time.monotonic(), 1e-3))
        count = connection.recv_into(view)
        if not count:
            raise EOFError("it has ended")
        view = view[count:]
    return content


def _said(error: BaseException) -> str:
    if isinstance(error, BlockingIOError | TimeoutError):
        return f"it gave no sign of life for {SILENCE_SECONDS} s"
    return str(error) or type(error).__name__

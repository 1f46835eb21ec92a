"""Leads connections of programs to the model's address out of the box, each as a stream of its own."""

from __future__ import annotations

import _socket
import select

from .framing import WINDOW, Kind, frame, grant, granted
from .speaking import send

_PORT = 8080
_BACKLOG = 128
_CHUNK = 32 << 10


class _Connection:
    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.credit = WINDOW
        self.pending = bytearray()
        self.host_over = self.program_over = False


class Connections:
    """The listener and what came in by it; connections beyond `most` are closed at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._next = 1
        self._open: dict[int, _Connection] = {}
        self._listener = _socket.socket()
        self._listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", _PORT))
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)

    def register(self, poller: select.poll) -> None:
        """Wait for what may come or go."""
        for connection in self._open.values():
            events = 0
            if connection.credit > 0 and not connection.program_over:
                events |= select.POLLIN
            if connection.pending:
                events |= select.POLLOUT
            if events:
                poller.register(connection.sock.fileno(), events)
        poller.register(self._listener.fileno(), select.POLLIN)

    def hear(self, stream: int, kind: int, payload: bytes) -> None:
        """Take a frame of the host; one for a connection that is gone already is nothing."""
        connection = self._open.get(stream)
        if connection is None:
            return
        if kind == Kind.DATA:
            connection.pending += payload
        elif kind == Kind.END:
            connection.host_over = True
        elif kind == Kind.GRANT:
            connection.credit += granted(payload)
        elif kind == Kind.STOP:
            self._drop(stream)

    def move(self) -> None:
        """Pass on what is there and accept who waits."""
        for stream, connection in list(self._open.items()):
            if not (self._in(stream, connection) and self._out(stream, connection)):
                send(frame(Kind.STOP, stream))
                self._drop(stream)
            elif connection.host_over and not connection.pending:
                self._drop(stream)
        self._accept()

    def _in(self, stream: int, connection: _Connection) -> bool:
        while connection.credit > 0 and not connection.program_over:
            try:
                data = connection.sock.recv(min(_CHUNK, connection.credit))
            except BlockingIOError:
                break
            except OSError:
                return False
            connection.credit -= len(data)
            connection.program_over = not data
            send(frame(Kind.DATA, stream, data) if data else frame(Kind.END, stream))
        return True

    def _out(self, stream: int, connection: _Connection) -> bool:
        while connection.pending:
            try:
                size = connection.sock.send(connection.pending[:_CHUNK])
            except BlockingIOError:
                break
            except OSError:
                return False
            del connection.pending[:size]
            send(grant(stream, size))
        return True

    def _accept(self) -> None:
        while True:
            try:
                fd, _ = self._listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - `socket.accept` is slow to import
            except OSError:
                return
            sock = _socket.socket(fileno=fd)
            if len(self._open) >= self._most:
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)  # else 40 ms an answer (delayed ACK)
            self._open[self._next] = _Connection(sock)
            send(frame(Kind.OPEN, self._next))
            self._next += 2

    def _drop(self, stream: int) -> None:
        self._open.pop(stream).sock.close()

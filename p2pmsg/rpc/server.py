"""The daemon's end of the local API: a Unix socket on which each client gets its own connection, one task each.

What a method does is the handler's; what a line means is `connection`'s. A client's fault ends at most that client's connection.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path

from p2pmsg.config import limits
from p2pmsg.rpc.connection import Connection, Handler, Service

_log = logging.getLogger(__name__)


def listen(path: Path) -> socket.socket:
    """Return a listening socket at `path`, mode 0600, in place of what a killed daemon left there.

    The caller holds the profile's lock. Raises: OSError.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(str(path))
        path.chmod(0o600)  # before listen(): nobody can have connected yet
        listener.listen(limits.RPC_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


class Server:
    """Serves one profile's clients until cancelled."""

    def __init__(self, handler: Handler, *, profile: str, log: str = "", crashed: Callable[[Exception], None] | None = None) -> None:
        self._service = Service(handler, profile, log, crashed)

    async def serve(self, listener: socket.socket) -> None:
        """Accept clients, at most limits.RPC_CLIENTS at once (more wait in the backlog).

        Cancelled: cancels every running call, closes every connection and the listener, and takes the socket's file away.
        """
        slots = asyncio.Semaphore(limits.RPC_CLIENTS)
        try:
            async with asyncio.TaskGroup() as clients:
                while True:
                    await slots.acquire()
                    accepted = await _accept(listener)
                    clients.create_task(self._serve_one(accepted, slots), name="rpc client")
        finally:
            _close(listener)

    async def _serve_one(self, accepted: socket.socket, slots: asyncio.Semaphore) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(sock=accepted)
            try:
                await Connection(self._service, reader, writer).run()
            except BaseException:
                writer.transport.abort()
                raise
            writer.close()  # what was answered last is still flushed
        finally:
            slots.release()


async def _accept(listener: socket.socket) -> socket.socket:
    while True:
        try:
            accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as error:  # out of file descriptors: the client waits in the backlog until some are free again
            _log.warning("cannot accept a client: %s", error)
            await asyncio.sleep(1.0)
        else:
            return accepted


def _close(listener: socket.socket) -> None:
    path = Path(listener.getsockname())
    listener.close()
    path.unlink(missing_ok=True)

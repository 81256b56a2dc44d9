"""One client of the local API: JSON-RPC 2.0, one object a line, its requests side by side.

Knows framing, params and errors; not where clients come from nor what a method does.
"""

from __future__ import annotations

import asyncio
import logging
import select
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from p2pmsg import PROTOCOL_VERSION, __version__
from p2pmsg.config import limits
from p2pmsg.errors import P2pmsgError, UsageError
from p2pmsg.rpc.api import Params, params_of
from p2pmsg.rpc.escape import escape

_log = logging.getLogger(__name__)

_PIECE_BYTES = 65_536
"""Lines of one turn are gathered up to this size: a system call and a wake-up of the client for each cost more than the line."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON asked for."""
PARSE_ERROR, INVALID_REQUEST, FAILED = -32700, -32600, -32000
"""The last stands for all that a method has to say; the others for lines of which no method is known."""
Id = str | int | float | None | msgspec.UnsetType


class Handler(Protocol):
    """What performs the methods of `api.METHODS`."""

    async def call(self, method: str, params: Params, call: Call) -> object:
        """Return the result as plain JSON values. Raises: P2pmsgError for what the user should read. Cancelled when the client goes."""


@dataclass(frozen=True, slots=True)
class Service:
    """What all connections of a server share.

    `log` is the path named to users when a method fails by our own fault; `crashed` is called with what was raised then (a test's
    way to hear of it).
    """

    handler: Handler
    profile: str
    log: str = ""
    crashed: Callable[[Exception], None] | None = None

    def hello(self) -> dict[str, object]:
        """Return the answer to rpc.hello."""
        return {"version": __version__, "protocol": PROTOCOL_VERSION, "profile": self.profile}


class Request(msgspec.Struct, frozen=True):
    """One line of a client; unknown fields are left alone, as JSON-RPC says nothing about them."""

    method: str
    jsonrpc: str = "2.0"
    id: Id = msgspec.UNSET
    params: msgspec.Raw = msgspec.Raw(b"{}")


class Answer(Params):
    """Params of METHOD.answer."""

    line: str


class Fault(Exception):
    """A line that is no request: nobody can say of which method it speaks. `number` is JSON-RPC's."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class ClientGone(Exception):
    """Nobody reads the answers any more, or the connection cannot go on."""


class Connection:
    """One client: its requests run side by side, at most limits.RPC_REQUESTS; then reading waits for one to end."""

    def __init__(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.service = service
        self._reader = reader
        self._writer = writer
        self._unsent = bytearray()
        self._slots = asyncio.Semaphore(limits.RPC_REQUESTS)
        self.asked: dict[str, deque[asyncio.Future[str]]] = {}

    async def run(self) -> None:
        """Serve until the client has gone; one that only closed its writing side still gets its answers."""
        try:
            async with asyncio.TaskGroup() as requests:
                async for line in self._lines():
                    await self._start(line, requests)
                if self._closed_whole():
                    raise ClientGone
        except* (ClientGone, ConnectionError):
            pass
        finally:
            self._flush()

    async def _lines(self) -> AsyncIterator[bytes]:
        """Yield whole lines; a part of a line before the end is dropped. An over-long one is answered and ends the connection."""
        rest = bytearray()
        while data := await self._reader.read(65_536):
            *lines, tail = data.split(b"\n")
            for line in lines:
                rest += line
                if rest.strip():
                    yield bytes(rest)
                rest.clear()
            rest += tail
            if len(rest) > limits.RPC_LINE_BYTES:
                await self._write_fault(Fault(INVALID_REQUEST, f"A line has at most {limits.RPC_LINE_BYTES} bytes."))
                raise ClientGone

    def _closed_whole(self) -> bool:
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket").fileno(), 0)
        return any(state & (select.POLLHUP | select.POLLERR) for _, state in poll.poll(0))

    async def _start(self, line: bytes, requests: asyncio.TaskGroup) -> None:
        try:
            request = _decode(line)
        except Fault as fault:
            await self._write_fault(fault)
            return
        if request.method.endswith(".answer") and self._answered(request):
            return
        await self._slots.acquire()
        requests.create_task(self._perform(request), name=f"rpc {request.method[:40]}")

    def _answered(self, request: Request) -> bool:
        """Give the line of METHOD.answer to the call that has waited longest; a needless answer is no method."""
        waiting = self.asked.get(request.method.removesuffix(".answer"))
        if not waiting:
            return False
        try:
            line = msgspec.json.decode(request.params, type=Answer).line
        except UNREADABLE:
            return False
        future = waiting.popleft()
        if not future.done():
            future.set_result(line)
        return True

    async def _perform(self, request: Request) -> None:
        call = Call(self, request)
        try:
            result = await self._result(request, call)
            await call.finish(result)
        except P2pmsgError as error:
            await self._failed(call, error)
        except (ConnectionError, ClientGone):
            raise
        except Exception as error:
            _log.exception("%s failed", request.method)
            if self.service.crashed is not None:
                self.service.crashed(error)
            await self._failed(call, _internal(error, self.service.log))
        finally:
            self._slots.release()

    async def _result(self, request: Request, call: Call) -> object:
        kind = params_of(request.method)
        try:
            params = msgspec.json.decode(request.params, type=kind)
        except UNREADABLE as error:
            takes = ", ".join(kind.__struct_encode_fields__) or "none"
            raise UsageError(f"{request.method}: {error}.", hint=f"Params of {request.method}: {takes}.") from error
        if request.method == "rpc.hello":
            return self.service.hello()
        return await self.service.handler.call(request.method, params, call)

    async def _failed(self, call: Call, error: P2pmsgError) -> None:
        if call.replied:  # a stream has no second answer: its end is the news
            raise ClientGone
        await self.write_error(call.request.id, FAILED, error)

    async def _write_fault(self, fault: Fault) -> None:
        await self.write_error(None, fault.number, UsageError(str(fault), hint="One object a line: JSON-RPC 2.0 in UTF-8."))

    async def write_error(self, identity: Id, number: int, error: P2pmsgError) -> None:
        """Answer with an error, unless nobody asked for an answer."""
        if identity is msgspec.UNSET:
            return
        data = {"code": error.code, "hint": error.hint, "candidates": error.candidates, "exit_status": error.exit_status}
        await self.write({"jsonrpc": "2.0", "id": identity, "error": {"code": number, "message": error.message, "data": data}})

    async def write(self, message: object) -> None:
        """Write one object and wait while the client reads slower than we write. Raises: ConnectionError."""
        await self.write_line(encode(message))

    async def write_line(self, line: bytes) -> None:
        """Write one whole line, in one piece with others of this turn of the loop; wait while the client reads slower than we write.

        Raises: ConnectionError.
        """
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += line
        if len(self._unsent) > _PIECE_BYTES:
            self._flush()
        await self._writer.drain()

    def _flush(self) -> None:
        if self._unsent:
            self._writer.write(bytes(self._unsent))
            self._unsent.clear()


class Call:
    """A running request, as its handler sees it."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection = connection
        self.request = request
        self.replied = False

    async def ask(self, question: object) -> str:
        """Send METHOD.ask and return the line of the METHOD.answer that comes for it."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connection.asked.setdefault(self.request.method, deque()).append(future)
        await self._connection.write({"jsonrpc": "2.0", "method": f"{self.request.method}.ask", "params": question})
        return await future

    async def reply(self, result: object) -> None:
        """Answer now; the handler goes on, mostly with `notify`, and what it returns is dropped."""
        answer = encode({"jsonrpc": "2.0", "id": self.request.id, "result": result})
        self.replied = True
        if self.request.id is not msgspec.UNSET:
            await self._connection.write_line(answer)

    async def notify(self, event: object) -> None:
        """Send METHOD.event; waits while the client reads slower than events come."""
        await self._connection.write({"jsonrpc": "2.0", "method": f"{self.request.method}.event", "params": event})

    async def finish(self, result: object) -> None:
        """Answer if that was not done yet."""
        if not self.replied:
            await self.reply(result)


def encode(message: object) -> bytes:
    """Return the line of an object. Raises: TypeError for what JSON cannot hold."""
    return escape(msgspec.json.encode(message)) + b"\n"


def _decode(line: bytes) -> Request:
    try:
        request = msgspec.json.decode(line, type=Request)
    except msgspec.ValidationError as error:
        raise Fault(INVALID_REQUEST, f"Not a request: {error}.") from error
    except UNREADABLE as error:
        raise Fault(PARSE_ERROR, f"Not JSON: {error}.") from error
    if request.jsonrpc != "2.0":
        raise Fault(INVALID_REQUEST, 'Only "jsonrpc":"2.0" is spoken here.')
    return request


def _internal(error: Exception, log: str) -> P2pmsgError:
    hint = f"Look into {log}" if log else "p2pmsg daemon logs"
    return P2pmsgError(f"Something went wrong in the daemon ({type(error).__name__}).", hint=hint)

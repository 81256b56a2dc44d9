"""What a client may say on its connection, and what it hears then. The server is real, its socket too; the handler is a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.config import limits
from p2pmsg.errors import Ambiguous, ContactNotFound
from p2pmsg.rpc.connection import Call
from p2pmsg.rpc.server import Server, listen
from tests.unit.scripted import Script


class Peer:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, raw: bytes) -> None:
        self.writer.write(raw + b"\n")

    def ask(self, method: str, params: object = None, number: int | None = 1) -> None:
        self.say(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}).encode())

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            answer: dict[str, Any] = json.loads(await self.reader.readuntil(b"\n"))
        return answer

    async def answer(self, method: str, params: object = None) -> dict[str, Any]:
        self.ask(method, params)
        return await self.hear()

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read() == b""


@asynccontextmanager
async def talking(home: Path, script: Script, **more: Any) -> AsyncIterator[Peer]:
    async with asyncio.TaskGroup() as tasks:
        path = home / "s"
        serving = tasks.create_task(Server(script, profile="default", log="/h/daemon.log", **more).serve(listen(path)))
        reader, writer = await asyncio.open_unix_connection(path, limit=1 << 26)
        try:
            yield Peer(reader, writer)
        finally:
            writer.close()
            serving.cancel()


@pytest.mark.asyncio
async def test_hello_tells_version_protocol_and_profile(home: Path) -> None:
    async with talking(home, Script()) as peer:
        answer = await peer.answer("rpc.hello", {"version": "0"})
        assert set(answer["result"]) == {"version", "protocol", "profile"}
        assert answer["result"]["profile"] == "default" and answer["id"] == 1 and answer["jsonrpc"] == "2.0"


@pytest.mark.asyncio
async def test_text_comes_back_exactly_and_escaped(home: Path) -> None:
    async with talking(home, Script(whoami="a\x1b\x9b\u202e\u2066ä")) as peer:
        peer.ask("whoami")
        line = await peer.reader.readline()
        assert b"\\u001b\\u009b\\u202e\\u2066\xc3\xa4" in line
        assert json.loads(line)["result"] == "a\x1b\x9b\u202e\u2066ä"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b'{"method":"whoami","id":1} x', -32700),
        (b'{"method":"whoami","id":1,"params":' + b"[" * 100_000, -32700),
        (b"[" * 100_000, -32600),
        (b"[]", -32600),
        (b"null", -32600),
        (b'{"id":1}', -32600),
        (b'{"id":{},"method":"whoami"}', -32600),
        (b'{"id":1,"method":"whoami","jsonrpc":"1.0"}', -32600),
        (b'{"id":1,"method":5}', -32600),
    ],
)
async def test_rubbish_is_answered_and_harms_nothing(home: Path, line: bytes, number: int) -> None:
    async with talking(home, Script(whoami="Ann")) as peer:
        peer.say(line)
        answer = await peer.hear()
        assert answer["error"]["code"] == number and answer["id"] is None
        assert answer["error"]["data"]["code"] == "usage" and answer["error"]["data"]["exit_status"] == 2
        assert (await peer.answer("whoami"))["result"] == "Ann"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("nonsense", {}, "no method 'nonsense'"),
        ("whoami.answer", {"line": "x"}, "no method 'whoami.answer'. Did you mean whoami?"),
        ("contact.lst", {}, "Did you mean contact.list?"),
        ("contact list", {}, "Did you mean contact.list?"),
        ("whoami", {"x": 1}, "unknown field `x`"),
        ("whoami", [1], "whoami: Expected `object`"),
        ("send", {"target": "bob"}, "missing required field `text`"),
        ("contact.show", {"name": None}, "Expected `str`, got `null`"),
    ],
)
async def test_method_and_params_are_checked(home: Path, method: str, params: object, words: str) -> None:
    script = Script()
    async with talking(home, script) as peer:
        answer = await peer.answer(method, params)
        error = answer["error"]
        assert answer["id"] == 1 and error["code"] == -32000 and words in error["message"]
        assert set(error["data"]) == {"code", "hint", "candidates", "exit_status"}
        assert error["data"]["code"] == "usage" and error["data"]["exit_status"] == 2
        assert script.calls == []


@pytest.mark.asyncio
async def test_what_can_be_said_instead(home: Path) -> None:
    async with talking(home, Script()) as peer:
        assert (await peer.answer("contact.lst"))["error"]["data"]["candidates"][0] == "contact.list"
        hint = (await peer.answer("watch", {"target": "bob"}))["error"]["data"]["hint"]
        assert hint == "Params of watch: since, n, in, typing."


@pytest.mark.asyncio
async def test_params_may_be_left_out(home: Path) -> None:
    async with talking(home, Script(whoami=1)) as peer:
        peer.say(b'{"jsonrpc":"2.0","id":"x","method":"whoami"}')
        assert await peer.hear() == {"jsonrpc": "2.0", "id": "x", "result": 1}


@pytest.mark.asyncio
async def test_errors_carry_the_contracts_fields(home: Path) -> None:
    async with talking(home, Script(**{"contact.show": Ambiguous("Two.", candidates=["bob~1", "bob~2"])})) as peer:
        error = (await peer.answer("contact.show", {"name": "bob"}))["error"]
        assert error["code"] == -32000 and error["message"] == "Two."
        assert error["data"]["code"] == "ambiguous" and error["data"]["exit_status"] == 5
        assert error["data"]["candidates"] == ["bob~1", "bob~2"] and error["data"]["hint"]


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [ValueError("secret"), object()])
async def test_our_own_fault_names_the_log_and_harms_nothing(home: Path, answer: object) -> None:
    crashed: list[Exception] = []
    async with talking(home, Script(whoami=answer, inbox=[]), crashed=crashed.append) as peer:
        error = (await peer.answer("whoami"))["error"]
        assert error["data"]["code"] == "internal" and error["data"]["exit_status"] == 1
        assert "/h/daemon.log" in error["data"]["hint"] and "secret" not in error["message"]
        assert len(crashed) == 1
        assert (await peer.answer("inbox"))["result"] == []


@pytest.mark.asyncio
async def test_notifications_are_done_and_not_answered(home: Path) -> None:
    script = Script(inbox=[], whoami=ContactNotFound("x"))
    async with talking(home, script) as peer:
        peer.say(b'{"jsonrpc":"2.0","method":"whoami"}')
        peer.say(b'{"jsonrpc":"2.0","method":"nonsense"}')
        assert (await peer.answer("inbox"))["result"] == []
        assert script.calls[0] == ("whoami", {})


@pytest.mark.asyncio
async def test_a_line_at_the_limit_is_taken_and_one_above_ends_the_connection(home: Path) -> None:
    start = b'{"jsonrpc":"2.0","id":1,"method":"whoami"}'
    async with talking(home, Script(whoami=1)) as peer:
        peer.say(start + b" " * (limits.RPC_LINE_BYTES - len(start)))
        assert (await peer.hear())["result"] == 1
        peer.writer.write(b"x" * (limits.RPC_LINE_BYTES + 1))
        assert (await peer.hear())["error"]["code"] == -32600
        assert await peer.ended()


@pytest.mark.asyncio
async def test_lines_may_come_in_pieces_and_several_at_once(home: Path) -> None:
    async with talking(home, Script(whoami=1)) as peer:
        whole = b'{"jsonrpc":"2.0","id":1,"method":"whoami"}\n\n \n{"jsonrpc":"2.0","id":2,"method":"whoami"}\n'
        for place in range(0, len(whole), 7):
            peer.writer.write(whole[place : place + 7])
            await peer.writer.drain()
        assert {(await peer.hear())["id"], (await peer.hear())["id"]} == {1, 2}


@pytest.mark.asyncio
async def test_requests_run_side_by_side(home: Path) -> None:
    go = asyncio.Event()

    async def wait(*_: object) -> str:
        await go.wait()
        return "late"

    def release(*_: object) -> str:
        go.set()
        return "early"

    async with talking(home, Script(whoami=wait, inbox=release)) as peer:
        peer.ask("whoami", number=1)
        peer.ask("inbox", number=2)
        assert [await peer.hear(), await peer.hear()] == [
            {"jsonrpc": "2.0", "id": 2, "result": "early"},
            {"jsonrpc": "2.0", "id": 1, "result": "late"},
        ]


@pytest.mark.asyncio
async def test_no_more_requests_run_at_once_than_allowed(home: Path) -> None:
    go, full = asyncio.Event(), asyncio.Event()
    running = 0

    async def wait(*_: object) -> int:
        nonlocal running
        running += 1
        if running == limits.RPC_REQUESTS:
            full.set()
        await go.wait()
        return running

    async with talking(home, Script(whoami=wait)) as peer:
        for number in range(limits.RPC_REQUESTS + 1):
            peer.ask("whoami", number=number)
        await full.wait()
        await asyncio.sleep(0)
        assert running == limits.RPC_REQUESTS
        go.set()
        for _ in range(limits.RPC_REQUESTS + 1):
            await peer.hear()
        assert running == limits.RPC_REQUESTS + 1


def waiting() -> tuple[asyncio.Event, asyncio.Event, Callable[..., Awaitable[None]]]:
    """Return events for "it runs" and "it was cancelled", and a method that waits for ever."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(*_: object) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    return started, cancelled, wait


@pytest.mark.asyncio
async def test_a_call_is_cancelled_when_its_client_goes(home: Path) -> None:
    started, cancelled, wait = waiting()
    async with talking(home, Script(whoami=wait)) as peer:
        peer.ask("whoami")
        await started.wait()
        peer.writer.close()
        async with asyncio.timeout(5):
            await cancelled.wait()


@pytest.mark.asyncio
async def test_a_client_that_only_ends_its_writing_still_gets_its_answer(home: Path) -> None:
    go = asyncio.Event()

    async def wait(*_: object) -> str:
        await go.wait()
        return "late"

    async with talking(home, Script(whoami=wait)) as peer:
        peer.ask("whoami")
        peer.writer.write_eof()
        asyncio.get_running_loop().call_later(0.05, go.set)
        assert (await peer.hear())["result"] == "late"
        assert await peer.ended()


@pytest.mark.asyncio
async def test_a_method_may_ask(home: Path) -> None:
    async def ask(_: object, call: Call) -> list[str]:
        return [await call.ask({"type": "sas"}), await call.ask({"type": "again"})]

    async with talking(home, Script(whoami=ask)) as peer:
        assert await peer.answer("whoami") == {"jsonrpc": "2.0", "method": "whoami.ask", "params": {"type": "sas"}}
        peer.say(b'{"jsonrpc":"2.0","method":"whoami.answer","params":{"line":"yes"}}')
        assert (await peer.hear())["params"] == {"type": "again"}
        peer.say(b'{"jsonrpc":"2.0","method":"whoami.answer","params":{"line":"no"}}')
        assert (await peer.hear())["result"] == ["yes", "no"]


@pytest.mark.asyncio
async def test_a_bad_answer_is_none(home: Path) -> None:
    async def ask(_: object, call: Call) -> str:
        return await call.ask({})

    async with talking(home, Script(whoami=ask)) as peer:
        await peer.answer("whoami")
        assert (await peer.answer("whoami.answer", {"line": 5}))["error"]["code"] == -32000
        peer.say(b'{"jsonrpc":"2.0","method":"whoami.answer","params":{"line":"yes"}}')
        assert (await peer.hear())["result"] == "yes"


@pytest.mark.asyncio
async def test_watch_answers_early_and_notifies(home: Path) -> None:
    async def watch(_: object, call: Call) -> None:
        await call.reply({"cursor": 7})
        await call.notify({"cursor": 8, "type": "x"})

    async with talking(home, Script(watch=watch)) as peer:
        assert (await peer.answer("watch"))["result"] == {"cursor": 7}
        assert await peer.hear() == {"jsonrpc": "2.0", "method": "watch.event", "params": {"cursor": 8, "type": "x"}}
        peer.writer.write_eof()
        assert await peer.ended()


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [ContactNotFound("x"), ValueError("x")])
async def test_a_stream_that_fails_ends_the_connection(home: Path, error: Exception) -> None:
    async def watch(_: object, call: Call) -> None:
        await call.reply({"cursor": 7})
        raise error

    async with talking(home, Script(watch=watch)) as peer:
        await peer.answer("watch")
        assert await peer.ended()


@pytest.mark.asyncio
async def test_who_does_not_read_is_not_written_to_for_ever(home: Path) -> None:
    written = 0
    stuck = asyncio.Event()

    async def watch(_: object, call: Call) -> None:
        nonlocal written
        await call.reply({"cursor": 0})
        asyncio.get_running_loop().call_later(0.3, stuck.set)
        while True:
            await call.notify("x" * 10_000)
            written += 1

    async with talking(home, Script(watch=watch)) as peer:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        peer.ask("watch")
        await stuck.wait()
        before = written
        await asyncio.sleep(0)
        assert written == before < 200

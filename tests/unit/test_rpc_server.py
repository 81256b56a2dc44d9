from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from p2pmsg.config import limits
from p2pmsg.rpc.server import Server, listen
from tests.unit.scripted import Script
from tests.unit.test_rpc_connection import Peer, waiting


def test_the_socket_is_for_its_owner_alone(home: Path) -> None:
    with listen(home / "s"):
        mode = (home / "s").stat().st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_what_a_killed_daemon_left_is_replaced(home: Path) -> None:
    listen(home / "s").close()
    assert (home / "s").exists()
    with listen(home / "s"), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(home / "s"))


def test_no_place_for_the_socket_is_an_os_error(home: Path) -> None:
    with pytest.raises(OSError):
        listen(home / "missing" / "s")


async def connected(path: Path) -> Peer:
    return Peer(*await asyncio.open_unix_connection(path))


@pytest.mark.asyncio
async def test_stopping_cancels_calls_ends_connections_and_takes_the_socket_away(home: Path) -> None:
    started, cancelled, wait = waiting()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(Server(Script(whoami=wait), profile="p").serve(listen(home / "s")))
        peer = await connected(home / "s")
        peer.ask("whoami")
        await started.wait()
        serving.cancel()
        assert await peer.ended()
        peer.writer.close()
    assert cancelled.is_set() and not (home / "s").exists()


@pytest.mark.asyncio
async def test_one_clients_rubbish_is_not_anothers(home: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(Server(Script(whoami=1), profile="p").serve(listen(home / "s")))
        bad, good = await connected(home / "s"), await connected(home / "s")
        bad.writer.write(b"x" * (limits.RPC_LINE_BYTES + 1))
        await bad.hear()
        bad.writer.transport.abort()
        assert (await good.answer("whoami"))["result"] == 1
        good.writer.close()
        serving.cancel()


@pytest.mark.asyncio
async def test_more_clients_than_allowed_wait_their_turn(home: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(Server(Script(whoami=1), profile="p").serve(listen(home / "s")))
        peers = [await connected(home / "s") for _ in range(limits.RPC_CLIENTS)]
        assert [(await peer.answer("whoami"))["result"] for peer in peers] == [1] * limits.RPC_CLIENTS
        late = await connected(home / "s")
        late.ask("whoami")
        peers[0].writer.close()
        assert (await late.hear())["result"] == 1
        for peer in [late, *peers]:
            peer.writer.close()
        serving.cancel()

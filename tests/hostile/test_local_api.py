"""A client of the local API that sends rubbish harms its own connection at most."""

from __future__ import annotations

import json
import os
import socket

import pytest

from p2pmsg.config import limits
from tests.integration.daemons import Somebody

LINES: dict[str, bytes] = {
    "not UTF-8": b"\xff\xfe\xfd\n",
    "not UTF-8 in a string": b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"target":"me","text":"\xff"}}\n',
    "not UTF-8 in a method": b'{"jsonrpc":"2.0","id":1,"method":"\xff"}\n',
    "no JSON": b"hello\n",
    "a list": b"[]\n",
    "a number": b"1e999999\n",
    "deep": b"[" * 100_000 + b"\n",
    "deep params": b'{"jsonrpc":"2.0","id":1,"method":"send","params":' + b'{"a":' * 50_000 + b"\n",
    "another JSON-RPC": b'{"jsonrpc":"1.0","id":1,"method":"whoami"}\n',
    "no such method": b'{"jsonrpc":"2.0","id":1,"method":"__class__"}\n',
    "params that are too many": b'{"jsonrpc":"2.0","id":1,"method":"whoami","params":{"x":1}}\n',
    "params that are a list": b'{"jsonrpc":"2.0","id":1,"method":"send","params":["bob","hi"]}\n',
    "a lone surrogate": b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"target":"me","text":"\\ud800"}}\n',
    "a lone surrogate for a name": b'{"jsonrpc":"2.0","id":1,"method":"contact.show","params":{"name":"\\udfff"}}\n',
    "a cursor from beyond": b'{"jsonrpc":"2.0","id":1,"method":"watch","params":{"since":' + b"9" * 400 + b"}}\n",
    "no time to wait": b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"target":"me","text":"x","wait":"read","timeout_s":-1}}\n',
    "a name with NUL": b'{"jsonrpc":"2.0","id":1,"method":"contact.show","params":{"name":"a\\u0000b"}}\n',
    "an id with NUL": b'{"jsonrpc":"2.0","id":1,"method":"history","params":{"target":"me","before":"\\u0000\\u0000"}}\n',
    "an id of blanks": b'{"jsonrpc":"2.0","id":1,"method":"history","params":{"target":"me","before":"    "}}\n',
    "too little of an invite's id": b'{"jsonrpc":"2.0","id":1,"method":"contact.uninvite","params":{"id":""}}\n',
    "a line too long": b"x" * (limits.RPC_LINE_BYTES + 10) + b"\n",
}


def connected(ann: Somebody) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(10)
    made.connect(ann.ask("status")["socket"])
    return made


@pytest.mark.parametrize("kind", LINES)
def test_a_line_of_rubbish_is_answered(ann: Somebody, kind: str) -> None:
    with connected(ann) as client:
        client.sendall(LINES[kind])
        with client.makefile("rb") as answers:
            answer = json.loads(answers.readline())
    error = answer["error"]
    assert set(error["data"]) == {"code", "hint", "candidates", "exit_status"}
    assert error["data"]["code"] != "internal" and error["data"]["exit_status"] in (2, 4), error


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_times_from_beyond(ann: Somebody, since: str) -> None:
    assert isinstance(ann.ask("history", target="me", since=since), list)


def test_half_a_line_and_gone(ann: Somebody) -> None:
    for _ in range(50):
        with connected(ann) as client:
            client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"wat')


def test_answers_that_nobody_reads(ann: Somebody) -> None:
    """Requests without end whose answers stay unread fill the socket, not the daemon."""
    memory = ann.rss_bytes
    clients = [connected(ann) for _ in range(3)]
    for client in clients:
        client.setblocking(False)
        line = b'{"jsonrpc":"2.0","id":1,"method":"contact.list"}\n' * 1000
        try:
            for _ in range(200):
                client.send(line)
        except BlockingIOError:
            pass
    assert ann.ask("whoami")["name"] == "Ann"
    assert ann.rss_bytes - memory < 20_000_000
    for client in clients:
        client.close()


def test_more_clients_than_are_served_at_once(ann: Somebody) -> None:
    crowd = [connected(ann) for _ in range(limits.RPC_CLIENTS - 8)]
    assert ann.ask("whoami")["name"] == "Ann"
    for client in crowd:
        client.close()


def test_the_socket_is_mine_alone(ann: Somebody) -> None:
    path = ann.ask("status")["socket"]
    assert os.stat(path).st_mode & 0o777 == 0o600  # noqa: PTH116

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import termios
from typing import Any

import pytest

from p2pmsg.cli.chat import Lines
from p2pmsg.config import limits
from p2pmsg.errors import ContactNotFound, InvalidText, Refused, TextTooLong
from p2pmsg.rpc.connection import Call
from tests.unit.scripted import BOB, Daemon, cli, command, contact, error_of, message
from tests.unit.terminal import rows, terminal


class Talk:
    """The daemon's side of a chat: what is unread, and events when the test says so."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.unread: list[dict[str, Any]] = []
        self.sent = 0
        self._call: Call | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        daemon.script.answers |= {"watch": self._watch, "read": self._read, "send": self._send, "history": [], "contact.show": contact()}

    async def _watch(self, _: object, call: Call) -> None:
        self._call, self._loop = call, asyncio.get_running_loop()
        await call.reply({"cursor": 1})
        await asyncio.Event().wait()

    def _read(self, *_: object) -> list[dict[str, Any]]:
        part, self.unread = self.unread, []
        return part

    def _send(self, params: Any, _: object) -> dict[str, Any]:
        self.sent += 1
        return message(params.text, 1000 + self.sent, mine=True)

    def tell(self, event: dict[str, Any]) -> None:
        assert self._call is not None and self._loop is not None
        asyncio.run_coroutine_threadsafe(self._call.notify({"cursor": 2, "at": "", **event}), self._loop).result(5)

    def say(self, text: str, number: int) -> None:
        """Let Bob say something."""
        self.unread.append(message(text, number))
        self.tell({"type": "message", "message": message(text, number)})

    def texts(self) -> list[str]:
        return [params["text"] for params in self.daemon.script.asked("send")]


@pytest.fixture
def talk(daemon: Daemon) -> Talk:
    return Talk(daemon)


def test_a_line_in_is_a_message_out_and_the_end_ends(talk: Talk) -> None:
    done = cli(talk.daemon.home, "chat", "bob", stdin="hi\n\n  \nZoë\nlast".encode())
    assert done.returncode == 0 and talk.texts() == ["hi", "  ", "Zoë", "last"]
    assert done.stdout.decode().splitlines()[0] == "2099-01-31 12:03  me: hi  (queued)"


def test_what_is_unread_is_shown_first_and_marked_read(talk: Talk) -> None:
    talk.unread = [message("one", 1), message("two", 2)]
    done = cli(talk.daemon.home, "chat", "bob", "--json")
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["one", "two"]
    assert done.returncode == 0 and len(talk.daemon.script.asked("read")) == 1


@pytest.mark.parametrize(
    ("stdin", "code"), [(b"ok\n\xff\nlost\n", "invalid_text"), (b"ok\na\0\n", "invalid_text"), (b"ok\n" + b"x" * 70_000, "text_too_long")]
)
def test_a_line_that_is_no_text_ends_a_pipe_and_what_was_sent_stays_sent(talk: Talk, stdin: bytes, code: str) -> None:
    done = cli(talk.daemon.home, "chat", "bob", "--json", stdin=stdin)
    assert (done.returncode, error_of(done)["code"], talk.texts()) == (2, code, ["ok"])


def test_a_refused_line_ends_a_pipe(talk: Talk) -> None:
    talk.daemon.script.answers["send"] = Refused("The disk is full.")
    assert cli(talk.daemon.home, "chat", "bob", stdin=b"a\nb\n").returncode == 8
    assert talk.texts() == ["a"]


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_an_incoming_line_never_breaks_the_one_being_typed(talk: Talk, term: str) -> None:
    with terminal(talk.daemon.home, "chat", "bob", TERM=term) as screen:
        screen.see("> ")
        screen.press("half a sen")
        screen.see("half a sen")
        talk.say("hello\n12:00  ann: forged\x1b[2J", 1)
        screen.see("forged")
        screen.press("tence\r")
        screen.see("me: half a sentence")
        talk.say("second", 2)
        screen.see("second")
        screen.press("\x04")
        assert screen.end() == 0
    assert rows(screen.screen) == [
        "Chat with bob, who is away. Ctrl-D ends.",
        "2099-01-31 12:03  bob: hello",
        " " * 20 + "12:00  ann: forged\\x1b[2J",
        "2099-01-31 12:03  me: half a sentence",
        "2099-01-31 12:03  bob: second",
        "       (queued)",
        "",
    ]
    assert talk.texts() == ["half a sentence"] and b"\x1b" not in screen.screen


def test_context_comes_before_what_is_unread_on_a_terminal(talk: Talk) -> None:
    talk.unread = [message("new", 5)]
    talk.daemon.script.answers["history"] = [message("old", 4, state="read")]
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        screen.see("new")
        screen.press("\x04")
        assert screen.end() == 0
    assert [row.split(": ")[-1] for row in rows(screen.screen)[1:]] == ["old", "new", ""]
    assert talk.daemon.script.asked("history")[0]["before"] == f"{5:064x}"


def state(number: int, state: str) -> dict[str, Any]:
    return {"type": "state", "id": f"{1000 + number:064x}", "state": state, "account": BOB}


def test_how_each_line_fares_is_said_once_on_a_terminal(talk: Talk) -> None:
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        screen.see("> ")
        screen.press("one\r")
        screen.see("me: one")
        screen.press("two\r")
        screen.see("me: two")
        for event in (state(1, "sent"), state(2, "sent"), state(1, "delivered"), state(1, "read"), state(1, "read"), state(2, "delivered")):
            talk.tell(event)
        screen.see("(delivered)")
        talk.tell(state(2, "read"))
        talk.say("end", 1)
        screen.see("end")
        screen.press("\x04")
        screen.end()
    assert [row.split(": ")[-1].strip() for row in rows(screen.screen)][1:] == ["one", "two", "(read)", "(delivered)", "end", ""]


def typing(for_s: float, name: str = "bob") -> dict[str, Any]:
    return {"type": "typing", "typing": {"account": BOB, "name": name, "for_s": for_s}}


def test_who_types_stands_beside_the_line_until_that_counts_no_more(talk: Talk) -> None:
    noted = f"> half{' ' * 59}bob is typing…"
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        screen.row(">")
        screen.press("half")
        screen.row("> half")
        talk.tell(typing(60))
        screen.row(noted)
        talk.say("there", 1)
        screen.row("> half")
        talk.tell(typing(0.2))
        screen.row(noted)
        screen.row("> half")
        talk.tell(typing(60))
        screen.row(noted)
        talk.tell(typing(0))
        screen.row("> half")
        talk.tell(typing(60))
        screen.row(noted)
        talk.tell({"type": "message", "message": message("mine elsewhere", 8, mine=True)})
        screen.see("mine elsewhere")
        screen.row(noted)
        screen.press("\r\x04")
        assert screen.end() == 0
    assert rows(screen.screen)[-1] == "" and talk.daemon.script.asked("watch")[0]["typing"] is True


def test_who_types_is_named_as_elsewhere_and_cannot_paint(talk: Talk) -> None:
    long = contact(name="Bob\x1b[2J\u202e" + "名" * 40, trust="invited")
    talk.daemon.script.answers["contact.list"] = [long]
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        screen.see("> ")
        talk.tell(typing(60, long["name"]))
        screen.see("… is typing…")
        screen.press("\x04")
        screen.end()
    assert b"\x1b" not in screen.screen and "\u202e" not in screen.screen.decode()


def test_the_daemon_hears_that_i_type_but_not_of_every_key(talk: Talk) -> None:
    told = talk.daemon.script.answers["chat.typing"] = {"told": 1}
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        screen.see("> ")
        screen.press("\x1b[D\x7f")
        screen.press("pasted whole\r")
        screen.see("me: pasted whole")
        assert talk.daemon.script.asked("chat.typing") == []
        for end in range(1, 6):
            screen.press("hello"[end - 1])
            screen.row(f"> {'hello'[:end]}")
        screen.press("\r")
        screen.see("me: hello")
        screen.press("\x04")
        assert screen.end() == 0
    assert talk.daemon.script.asked("chat.typing") == [{"target": "bob"}] and told == {"told": 1}


def test_nobody_hears_of_what_is_typed_into_a_pipe(talk: Talk) -> None:
    assert cli(talk.daemon.home, "chat", "bob", stdin=b"half\nwhole\nrest").returncode == 0
    with terminal(talk.daemon.home, "chat", "bob", "--json") as screen:
        screen.press("hi\n")
        screen.see('"text":"hi"')
        screen.press("\x04")
        assert screen.end() == 0
    asked = talk.daemon.script.asked
    assert asked("chat.typing") == [] and [params["typing"] for params in asked("watch")] == [False, False]


@pytest.mark.parametrize("word", ["/quit", "/exit", "/help "])
def test_a_word_that_seems_to_end_it_is_answered_on_a_terminal(talk: Talk, word: str) -> None:
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        screen.see("> ")
        screen.press(f"{word}\r")
        screen.see("Ctrl-D ends the chat. To send this word, put a blank before it.")
        screen.press(f" {word}\r")
        screen.see("me: ")
        screen.press("\x04")
        assert screen.end() == 0
    assert talk.texts() == [f" {word}"]


def test_on_a_pipe_every_line_is_sent(talk: Talk) -> None:
    assert cli(talk.daemon.home, "chat", "bob", stdin=b"/quit\n/help\n").returncode == 0
    assert talk.texts() == ["/quit", "/help"]


def test_the_header_names_who_is_no_contact_as_typed(talk: Talk) -> None:
    talk.daemon.script.answers["contact.show"] = ContactNotFound("There is no contact 'me'.")
    with terminal(talk.daemon.home, "chat", "me") as screen:
        screen.see("Chat with me. Ctrl-D ends.")
        screen.press("\x04")
        assert screen.end() == 0


def test_what_i_say_elsewhere_is_shown_and_old_messages_that_change_are_not(talk: Talk) -> None:
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        screen.see("> ")
        old = message("old", 7, mine=True, sent_at="2020-01-31T12:03:04.005Z", state="read")
        talk.tell({"type": "message", "message": old})
        talk.tell({"type": "message", "message": message("elsewhere", 8, mine=True)})
        screen.see("elsewhere")
        screen.press("\x04")
        screen.end()
    assert b"old" not in screen.screen


def test_a_refused_line_is_said_and_the_person_goes_on(talk: Talk) -> None:
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        screen.see("> ")
        talk.daemon.script.answers["send"] = Refused("The disk is full\x1b.")
        screen.press("hi\r")
        screen.see("Error: The disk is full\\x1b.")
        screen.press("\x04")
        assert screen.end() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_terminal_is_as_before_when_a_signal_ends_it(talk: Talk, number: int, status: int) -> None:
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        before = termios.tcgetattr(screen.master)
        screen.see("> ")
        assert termios.tcgetattr(screen.master) != before
        screen.process.send_signal(number)
        assert screen.process.wait(5) == status
        assert termios.tcgetattr(screen.master) == before


def test_ctrl_z_and_back(talk: Talk) -> None:
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        screen.see("> ")
        screen.press("half")
        screen.see("half")
        screen.process.send_signal(signal.SIGSTOP)
        screen.process.send_signal(signal.SIGCONT)
        screen.see("> half\r      \r> half")
        screen.press("\r")
        screen.see("me: half")


def test_the_end_of_the_daemon_is_3(talk: Talk) -> None:
    with terminal(talk.daemon.home, "chat", "bob") as screen:
        screen.see("> ")
        talk.daemon.stop()
        assert screen.end() == 3
    assert b"Error: The daemon has gone." in screen.screen


def test_a_reader_that_goes_ends_it(talk: Talk) -> None:
    talk.unread = [message("hi")]
    env = {**os.environ, "P2PMSG_HOME": str(talk.daemon.home)}
    process = subprocess.Popen(command("chat", "bob"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(5) == 141
    process.communicate()


def test_lines_of_a_pipe() -> None:
    lines = Lines()
    assert list(lines.feed(b"a\nb")) == ["a"]
    assert list(lines.feed(b"c\n\n")) == ["bc", ""]
    assert list(lines.feed(b"end")) == [] and list(lines.feed(b"")) == ["end"]
    with pytest.raises(InvalidText):
        list(lines.feed(b"\xff\n"))


def test_a_line_of_a_pipe_at_the_limit_and_one_above() -> None:
    assert len(next(iter(Lines().feed(b"x" * limits.TEXT_BYTES + b"\n")))) == limits.TEXT_BYTES
    with pytest.raises(TextTooLong):
        list(Lines().feed(b"x" * (limits.TEXT_BYTES + 1)))

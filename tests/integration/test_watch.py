"""`watch` of real daemons: the ready line, replay from any cursor, across restarts, its ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess

from tests.integration import shapes
from tests.integration.daemons import Json, Somebody, until


class Watch:
    """A running `watch`."""

    def __init__(self, somebody: Somebody, *words: str) -> None:
        self.process = somebody.popen("watch", "--json", *words)
        assert self.process.stdout is not None
        self.out = self.process.stdout

    def next(self) -> Json:
        line: Json = json.loads(self.out.readline())
        return line

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def replay(somebody: Somebody, since: str, *words: str) -> list[Json]:
    """Return everything after a cursor, by a watch that is stopped when it has caught up with a note written last."""
    mark = somebody.ask("send", target="me", text="mark")["id"]
    found: list[Json] = []
    with Watch(somebody, "--since", since, *words) as watch:
        while not found or found[-1].get("message", {}).get("id") != mark:
            found.append(watch.next())
    return found


def test_it_begins_with_ready_and_then_tells_what_comes(ann: Somebody, bob: Somebody) -> None:
    with Watch(ann) as watch:
        ready = watch.next()
        assert set(ready) == {"cursor", "type"} and shapes.faults(ready, shapes.READY) == []
        message = bob.say(ann, "news")
        found = watch.next()
    assert (found["type"], found["message"]["id"], found["message"]["state"]) == ("message", message["id"], "unread")
    assert int(found["cursor"]) > int(ready["cursor"])


def test_every_event_has_its_shape_and_a_higher_cursor(ann: Somebody, bob: Somebody) -> None:
    ann.say(bob, "one")
    bob.ask("read", target="ann")
    found = replay(ann, "0")
    assert found[0] == {"cursor": "0", "type": "ready"}
    for event in found[1:]:
        assert shapes.faults(event, shapes.EVENT | shapes.OF_EVENT[event["type"]]) == []
    cursors = [int(event["cursor"]) for event in found]
    assert cursors == sorted(set(cursors))
    assert {"message", "state", "contact"} <= {event["type"] for event in found}


def test_replay_from_the_middle_and_across_a_restart(ann: Somebody, bob: Somebody) -> None:
    whole = replay(ann, "0")
    middle = whole[len(whole) // 2]["cursor"]
    ann.kill()
    ann.start()
    until(lambda: ann.linked(bob), "Bob is back")
    again = replay(ann, middle)
    assert again[0] == {"cursor": middle, "type": "ready"}
    rest = [event["cursor"] for event in whole if int(event["cursor"]) > int(middle)]
    assert [event["cursor"] for event in again[1 : 1 + len(rest)]] == rest


def test_an_end_after_n(ann: Somebody) -> None:
    done = ann.cli("watch", "--since", "0", "-n", "2", "--json")
    assert (done.status, done.err, len(done.objects)) == (0, "", 3)
    assert done.objects[0] == {"cursor": "0", "type": "ready"}
    ann.ask("send", target="me", text="one more")
    assert int(ann.cli("watch", "--since", done.objects[-1]["cursor"], "-n", "1", "--json").objects[1]["cursor"]) > 2


def test_states_of_a_message_come_in_order(ann: Somebody, bob: Somebody) -> None:
    with Watch(ann) as watch:
        watch.next()
        message = ann.say(bob, "how far")
        bob.ask("read", target="ann")
        states: list[str] = []
        while "read" not in states:
            event = watch.next()
            if event["type"] == "state" and event["id"] == message["id"]:
                assert event["account"] == bob.account
                states.append(event["state"])
    assert states == [state for state in ("sent", "delivered", "read") if state in states] and "delivered" in states


def test_one_conversation_alone(ann: Somebody, bob: Somebody) -> None:
    with Watch(ann, "--in", "me") as watch:
        watch.next()
        bob.say(ann, "not here")
        note = ann.ask("send", target="me", text="a note")
        assert watch.next()["message"]["id"] == note["id"]


def test_peers_come_and_go(ann: Somebody, bob: Somebody) -> None:
    with Watch(ann) as watch:
        watch.next()
        bob.stop()
        away = watch.next()
        bob.start()
        back = watch.next()
    assert [(e["type"], e["peer"]["account"], e["peer"]["online"]) for e in (away, back)] == [
        ("peer", bob.account, False),
        ("peer", bob.account, True),
    ]
    assert shapes.faults(back["peer"], shapes.PEER) == []
    assert [e for e in replay(ann, away["cursor"]) if e["type"] == "peer"] == []  # live only


def test_it_ends_when_the_daemon_goes(ann: Somebody) -> None:
    with Watch(ann) as watch:
        watch.next()
        ann.stop()
        _, err = watch.process.communicate(timeout=20)
    assert watch.process.returncode == 3
    assert json.loads(err.splitlines()[-1])["error"]["code"] == "daemon_not_running"
    ann.start()


def test_it_ends_when_its_reader_goes(ann: Somebody) -> None:
    with Watch(ann) as watch:
        watch.next()
        watch.out.close()
        assert watch.process.wait(10) == 141
        assert watch.process.stderr is not None and watch.process.stderr.read() == b""


def test_it_ends_with_130_when_interrupted(ann: Somebody) -> None:
    with Watch(ann) as watch:
        watch.next()
        watch.process.send_signal(signal.SIGINT)
        assert watch.process.wait(10) == 130


def test_a_full_standard_output_is_a_fault(ann: Somebody) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        running = ann.popen("watch", "--since", "0", "--json", stdout=full)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 1 and b"Standard output" in err


def test_chat_says_what_stdin_says_and_ends_with_it(ann: Somebody, bob: Somebody) -> None:
    bob.say(ann, "are you there?")
    with ann.popen("chat", "bob", stdin=subprocess.PIPE) as chat:
        out, err = chat.communicate(b"yes\n\nI am\n", timeout=20)
    assert chat.returncode == 0, err
    assert "are you there?" in out.decode()
    until(lambda: bob.texts(ann)[-2:] == ["yes", "I am"], "both lines arrived")
    assert b"\x1b" not in out
    assert ann.ask("inbox") == []  # shown is read


def test_many_watchers_that_read_nothing_hold_up_nobody(ann: Somebody, bob: Somebody) -> None:
    watchers = [Watch(ann, "--since", "0") for _ in range(4)]
    try:
        for watch in watchers:
            os.kill(watch.process.pid, signal.SIGSTOP)
        for number in range(30):
            bob.say(ann, f"{number} " + "x" * 60_000, None)
        until(lambda: ann.ask("history", target="bob", n=1)[0]["text"].startswith("29 "), "all came")
        assert ann.say(bob, "still here")["state"] in ("delivered", "read")
    finally:
        for watch in watchers:
            watch.__exit__()

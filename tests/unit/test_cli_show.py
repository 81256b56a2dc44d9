from typing import Any

import pytest

from p2pmsg.cli import show, text
from p2pmsg.cli.people import People
from tests.unit.scripted import ANN, BOB, ME, contact, message

PEOPLE = People([contact()])
STATUS: dict[str, Any] = {
    **{"running": True, "pid": 7, "version": "1", "protocol": 1, "socket": "/s", "home": "/h", "log": "/l"},
    **{"started_at": "2026-01-01T00:00:00Z", "port": 4000, "interfaces": ["eth0", "wlan0"], "visible_until": None},
    **{"vault": "open", "vault_mode": "file", "unread": 2, "queued": 1, "requests": 0, "requests_max": 16, "disk_bytes": 4096},
    "warnings": [{"code": "disk_low", "message": "The disk is nearly full\x1b.", "hint": "Free some space."}],
}


def test_a_message() -> None:
    assert show.message(message("hi"), PEOPLE) == "2099-01-31 12:03  bob: hi"
    assert show.message(message("hi", mine=True), PEOPLE) == "2099-01-31 12:03  me: hi  (queued)"


def test_no_line_of_a_message_can_pass_for_another_message() -> None:
    lines = show.message(message("hi\n12:04  ann: forged\n\x1b[1A"), PEOPLE).split("\n")
    assert lines[1].startswith(" " * 20) and lines[2].endswith("\\x1b[1A")


def test_a_system_line_looks_like_no_person() -> None:
    assert show.message(message("Ann added \x07", kind="system"), PEOPLE) == "2099-01-31 12:03  * Ann added \\x07"


@pytest.mark.parametrize(
    ("skew", "when"),
    [
        *[(None, "2099-01-31 12:03"), (5, "2099-01-31 12:03"), (-599, "2099-01-31 12:03")],
        (-7200, "2099-01-31 14:03 (their clock: 2099-01-31 12:03)"),
        (7200, "2099-01-31 10:03 (their clock: 2099-01-31 12:03)"),
        (1e12, "2099-01-31 12:03"),
    ],
)
def test_a_clock_that_is_far_off_is_said(skew: float | None, when: str) -> None:
    found = message("hi", clock_skew_s=skew, received_at="2099-01-31T15:00:00.000Z")
    assert show.message(found, PEOPLE) == f"{when}  bob: hi"


@pytest.mark.parametrize(
    ("received", "when"),
    [
        ("2099-01-31T12:03:05.000Z", "2099-01-31 12:03"),
        ("2099-02-07T12:03:05.000Z", "2099-01-31 12:03"),  # who was away for a week
        ("2099-01-31T09:14:00.000Z", "2099-01-31 09:14 (their clock: 2099-01-31 12:03)"),  # whose clock was set back just now
    ],
)
def test_nothing_was_sent_after_it_came(received: str, when: str) -> None:
    assert show.message(message("hi", clock_skew_s=0, received_at=received), PEOPLE) == f"{when}  bob: hi"


def test_a_conversation_shows_when_it_was_by_our_clock() -> None:
    talk = {"kind": "direct", "account": BOB, "name": "bob", "unread": 1, "last": message("hi", clock_skew_s=7200)}
    assert "2099-01-31 10:03" in show.conversations([talk], PEOPLE)


def test_what_this_version_cannot_show_is_a_line_that_says_whose_it_is() -> None:
    shown = show.message(message("something this version cannot show", kind="unknown"), PEOPLE)
    assert shown == "2099-01-31 12:03  * bob: something this version cannot show"


def narrow(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(show.output, "columns", lambda: columns)


def test_a_table_that_is_too_wide_becomes_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 40)
    shown = show.contacts([contact(name="Zoë 名前", trust="verified"), contact(blocked=True)])
    first, second = shown.split("\n\n")
    assert first.split("\n") == ["name:       Zoë 名前", "trust:      verified", "online:     no", "last seen:  -"]
    assert second.endswith("blocked")


def test_a_table_that_fits_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = show.contacts([contact()])
    narrow(monkeypatch, 80)
    assert show.contacts([contact()]) == wide


def test_the_last_words_of_a_conversation_are_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = {"kind": "direct", "account": BOB, "name": "bob", "unread": 1, "last": message("名" * 50)}
    narrow(monkeypatch, 60)
    _, row = show.conversations([talk], PEOPLE).split("\n")
    assert row.endswith("名…") and text.width(row) in (59, 60)


def test_a_message_without_text() -> None:
    assert show.message(message(None), PEOPLE).endswith("bob: ")


def test_contacts_are_a_table() -> None:
    head, row = show.contacts([contact(trust="invited", online=True, blocked=True, alert="device_added")]).split("\n")
    assert head.split() == ["NAME", "TRUST", "ONLINE", "LAST", "SEEN"]
    assert row.split() == ["bob~b0b0b0b0", "(new", "device!)", "invited", "yes", "-", "blocked"]


def test_a_contact_says_what_is_known() -> None:
    shown = show.contact(contact(verified_by="invite"))
    assert "verified, by an invite" in shown and BOB in shown and "alert" not in shown


def test_peers_are_a_table() -> None:
    peer = {"account": BOB, "name": "bob", "device": "d" * 64, "device_name": None, "online": True, "since": None, "path": "mdns"}
    mine = {**peer, "account": ANN, "path": None, "online": False, "address": None, "interface": None, "rtt_ms": None}
    _, first, second = show.peers([{**peer, "address": "10.0.0.2:4", "interface": "eth0", "rtt_ms": 1.25}, mine], PEOPLE, ANN).split("\n")
    assert first.split() == ["bob", "dddddddd", "yes", "-", "mdns", "10.0.0.2:4", "eth0", "1.2", "ms"]
    assert second.split() == ["me", "dddddddd", "no", "-", "-", "-", "-", "-"]


def test_conversations_are_a_table() -> None:
    found = {"conversation": "c", "kind": "direct", "name": "bob", "account": BOB, "unread": 3, "last": message("a\nb")}
    _, row = show.conversations([found], PEOPLE).split("\n")
    assert row.split() == ["bob", "3", "2099-01-31", "12:03", "bob:", "a", "b"]
    notes = {**found, "kind": "self", "name": "me", "account": ANN, "unread": 0, "last": None}
    assert show.conversations([notes], PEOPLE).split("\n")[1].split() == ["me", "-", "-"]


def test_a_system_line_in_a_conversation_has_no_author() -> None:
    last = message("bob changed\tdevices\x1b", kind="system")
    found = {"conversation": "c", "kind": "direct", "name": "bob", "account": BOB, "unread": 0, "last": last}
    assert show.conversations([found], PEOPLE).endswith("  * bob changed devices\\x1b")


def test_status_says_what_is_wrong() -> None:
    shown = show.status(STATUS)
    assert "running, pid 7" in shown and "eth0, wlan0" in shown
    assert shown.endswith("\nWarning: The disk is nearly full\\x1b.\nTry: Free some space.")


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (12_345, "12.3 kB"), (999_960, "1.0 MB"), (5_000_000_000, "5.0 GB"), (7 * 10**15, "7000.0 TB")],
)
def test_sizes(count: int, shown: str) -> None:
    assert show.size(count) == shown


@pytest.mark.parametrize(
    ("count", "waiting", "shown"),
    [
        (1, 0, "Deleted: 1 message."),
        (0, 0, "Deleted: 0 messages."),
        (1, 1, "Deleted: 1 message. It will still be delivered, and erased here then."),
        (5, 2, "Deleted: 5 messages. 2 of them will still be delivered, and erased here then."),
    ],
)
def test_what_was_deleted(count: int, waiting: int, shown: str) -> None:
    assert show.deleted({"conversation": "c", "deleted": count, "still_to_deliver": waiting}) == shown


def test_status_of_a_daemon_that_does_not_run() -> None:
    stopped = dict.fromkeys(STATUS) | {"running": False, "home": "/h", "log": "/l", "version": "1", "interfaces": [], "warnings": []}
    stopped["disk_bytes"] = 12_345
    assert "disk:     12.3 kB" in show.status(stopped)
    assert "not running" in show.status(stopped)


def test_identity_leaves_out_what_there_is_not() -> None:
    assert "words" not in show.identity(ME)
    assert "words" in show.identity({**ME, "words_file": "/w"})


@pytest.mark.parametrize(("value", "shown"), [(["a", "b"], "a,b"), ((), ""), (True, "true"), (False, "false"), (None, ""), (5, "5")])
def test_settings_are_shown_as_they_are_typed(value: object, shown: str) -> None:
    assert show.setting(value) == shown


def test_steps_of_the_demo() -> None:
    assert show.step({"step": "meet", "ok": True, "detail": None, "elapsed_s": 1.5}) == "ok      1.50 s  meet:"
    assert show.step({"step": "meet", "ok": False, "detail": "x", "elapsed_s": 1.5}).startswith("FAIL")
    assert show.step({"step": "say", "ok": True, "detail": "a\nb", "elapsed_s": 1.5}).split("\n") == [
        "ok      1.50 s  say: a",
        f"{'b':>17}",
    ]


def test_invites_are_a_table() -> None:
    shown = show.invites([{"id": "7f3a", "invite": None, "expires_at": "2099-01-31T12:03:04.005Z"}])
    assert shown.split("\n")[1] == "7f3a  2099-01-31 12:03"


def test_a_contact_with_something_to_look_at_says_what_and_what_to_type() -> None:
    laptop = {"device": "d1", "name": "laptop", "admin": True, "first": True, "added_by": None, "online": True}
    phone = laptop | {"device": "d2", "name": "phone", "first": False, "added_by": "laptop", "online": False}
    found = show.contact(contact(trust="verified", alert="device_added") | {"devices": [laptop, phone, phone | {"added_by": None}]})
    assert '"laptop", the first, online' in found and '"phone", added by "laptop"' in found and "by the recovery words" in found
    assert "(new device!)" in found and "p2pmsg contact show bob --yes" in found
    changed = show.contact(contact(trust="unverified", name="$(reboot)", alert="identity_changed"))
    assert "(identity changed!)" in changed and f"p2pmsg contact verify {BOB[:16]}" in changed

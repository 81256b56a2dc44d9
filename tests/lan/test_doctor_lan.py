"""`doctor` on networks and machines where one thing is wrong: that row turns false, with its hint, and the others stay.

All plays run at the same time.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pmsg.protocol.presence import UNREACHABLE_S
from tests.lan.events import pause
from tests.lan.people import SOON_S, Person, Scene, start

Rows = dict[str, dict[str, Any]]
DENY = """
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state vmap { established : accept, related : accept, invalid : drop }
    meta l4proto ipv6-icmp accept
    tcp dport 22 accept
    %s
  }
}
"""
FIREWALLD = """
table inet firewalld {
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_INPUT_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_INPUT_ZONES {
    goto filter_IN_public
  }
  chain filter_IN_public {
    jump filter_IN_public_allow
    meta l4proto { icmp, ipv6-icmp } accept
    reject with icmpx admin-prohibited
  }
  chain filter_IN_public_allow {
    tcp dport 22 accept
    ip daddr 224.0.0.251 udp dport 5353 accept
    ip6 daddr ff02::fb udp dport 5353 accept
  }
}
"""
"""What firewalld 1.3 writes for its zone "public" with the service mdns, less what concerns no UDP."""
SILENCE = """
table inet silence {
  chain output { type filter hook output priority 0; udp dport != 5353 drop; }
  chain input { type filter hook input priority 0; udp dport != 5353 drop; }
}
"""


def doctor(person: Person, *words: str) -> tuple[Rows, set[str]]:
    """Return the rows by their checks, and which of them are false; the exit status tells the same."""
    done = person.lan.run(person.node, person.command("doctor", *words, "--json"))
    rows = {row["check"]: row for row in map(json.loads, done.stdout.splitlines())}
    faults = {check for check, row in rows.items() if row["ok"] is False}
    assert rows and done.returncode == (9 if faults else 0), done.stderr
    assert all(rows[check]["hint"] for check in faults)
    return rows, faults


def mended_by(person: Person, hint: str) -> None:
    """Type a hint as it stands."""
    assert person.lan.run(person.node, ["sh", "-c", hint]).returncode == 0


def where_all_is_well(here: Scene) -> None:
    ann, bob = here.pair()
    rows, faults = doctor(ann, "--with", "bob")
    assert faults == set(), rows
    well = ("versions", "home", "database", "daemon", "interfaces", "multicast", "firewall", "mdns", "port", "clock", "isolation")
    assert {check for check in well if rows[check]["ok"] is True} == set(well)
    assert "1 other heard" in rows["multicast"]["detail"]
    assert rows["with_hears_me"]["ok"] is True and "Both sides hear each other" in rows["with_hears_me"]["detail"]
    assert rows["with_sees_me"]["ok"] is True and "10.77.0.1" in rows["with_sees_me"]["detail"]
    assert doctor(bob, "--with", "ann")[1] == set()


def multicast_is_dropped(here: Scene) -> None:
    here.lan.multicast(False)
    ann, bob = here.pair()
    rows, faults = doctor(ann)
    assert faults == {"multicast"}
    assert "This network drops multicast" in rows["multicast"]["detail"] and "beacon" in rows["multicast"]["hint"]
    rows, faults = doctor(bob, "--with", "ann")
    assert faults == {"multicast", "with_hears_me"} and "it breaks between them" in rows["with_hears_me"]["detail"]
    here.lan.multicast(True)
    assert doctor(ann)[1] == set()


def the_port_is_blocked(here: Scene) -> None:
    ann, _bob = here.pair()
    assert here.lan.run(1, ["nft", DENY % "udp dport mdns accept"]).returncode == 0
    port = ann.ask("status")["port"]
    rows, faults = doctor(ann)
    assert faults == {"firewall"} and rows["firewall"]["hint"] == f"nft add rule inet filter input udp dport {port} accept"
    mended_by(ann, rows["firewall"]["hint"])
    assert doctor(ann)[1] == set()


def a_firewall_lets_nothing_in(here: Scene) -> None:
    """Then the own question does not come back either."""
    ann, bob = here.pair()
    assert here.lan.run(1, ["nft", DENY % "counter reject"]).returncode == 0
    port = ann.ask("status")["port"]
    rows, faults = doctor(ann)
    assert faults == {"firewall", "multicast"} and "Not even our own question" in rows["multicast"]["detail"]
    assert rows["firewall"]["hint"] == f"nft insert rule inet filter input udp dport {{ 5353, {port} }} accept"
    mended_by(ann, rows["firewall"]["hint"])
    assert doctor(ann)[1] == set()
    assert doctor(bob)[1] == set()


def behind_firewalld(here: Scene) -> None:
    ann, _bob = here.pair()
    assert here.lan.run(1, ["nft", FIREWALLD]).returncode == 0
    port = ann.ask("status")["port"]
    rows, faults = doctor(ann)
    assert faults == {"firewall"}
    assert rows["firewall"]["hint"] == f"sudo firewall-cmd --permanent --add-port={port}/udp && sudo firewall-cmd --reload"
    mended_by(ann, f"nft add rule inet firewalld filter_IN_public_allow udp dport {port} accept")
    assert doctor(ann)[1] == set()


def start_elsewhen(person: Person, ahead: str) -> None:
    """Start a daemon whose wall clock, and no other, is off."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    words = [f"LD_PRELOAD={library}", f"FAKETIME={ahead}", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    started = person.lan.run(person.node, ["env", *words, *person.command("daemon", "start", "--json")])
    person.pid = json.loads(started.stdout)["pid"]


def the_clock_is_an_hour_off(here: Scene, ahead: str, side: str) -> None:
    ann, bob = here.pair()
    bob.stop()
    start_elsewhen(bob, ahead)
    ann.until_online(bob, 2 * SOON_S)
    rows, faults = doctor(ann, "--with", "bob")
    assert faults == {"clock", "with_clock"} and f"60 min {side} this one" in rows["clock"]["detail"]
    assert "timedatectl" in rows["clock"]["hint"]


def a_clock_an_hour_ahead(here: Scene) -> None:
    the_clock_is_an_hour_off(here, "+1h", "ahead of")


def a_clock_an_hour_behind(here: Scene) -> None:
    the_clock_is_an_hour_off(here, "-1h", "behind")


def the_database_is_read_only(here: Scene) -> None:
    ann, _bob = here.pair()
    path = str(ann.folder / "data.db")
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
        rows, faults = doctor(ann)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
    assert faults == {"database"} and "is read-only" in rows["database"]["detail"] and "findmnt" in rows["database"]["hint"]


def client_isolation_is_said_in_words(here: Scene) -> None:
    ann, bob = here.pair()
    for person in (ann, bob):
        person.stop()
    here.lan.isolate(True)
    start(ann, bob)
    rows, faults = doctor(ann)
    assert faults == set() and rows["isolation"]["ok"] is None
    assert "If one is here, this network keeps devices apart" in rows["isolation"]["detail"]
    rows, faults = doctor(ann, "--with", "bob")
    assert faults == {"with"} and "nobody answered" in rows["with"]["detail"]


def who_is_heard_and_cannot_be_reached(here: Scene) -> None:
    ann, bob = here.pair()
    assert here.lan.run(2, ["nft", SILENCE]).returncode == 0
    ann.until_away(bob, 3 * SOON_S)
    bob.ask("visible.on")
    bob.ask("visible.off")  # he announces himself under a new name
    pause(UNREACHABLE_S + 1)
    said = [warning["message"] for warning in ann.ask("status")["warnings"] if warning["code"] == "devices_apart"]
    assert said and "Bob. This network keeps devices apart" in said[0]
    rows, faults = doctor(ann, "--with", "bob")
    assert faults == {"isolation", "with"} and "keeps devices apart: 1 contact announced here" in rows["isolation"]["detail"]
    assert "it broke on the way there, or at its firewall" in rows["with"]["detail"]


def without_a_daemon(here: Scene) -> None:
    ann = here.person(1, "Ann")
    assert doctor(ann)[1] == set()
    ann.start()
    ann.stop()
    rows, faults = doctor(ann)
    assert faults == {"daemon"} and rows["daemon"]["hint"] == "p2pmsg daemon start"
    here.lan.link(1, up=False)
    assert doctor(ann)[1] == {"daemon", "interfaces"}


PLAYS = [
    where_all_is_well,
    multicast_is_dropped,
    the_port_is_blocked,
    a_firewall_lets_nothing_in,
    behind_firewalld,
    a_clock_an_hour_ahead,
    a_clock_an_hour_behind,
    the_database_is_read_only,
    client_isolation_is_said_in_words,
    who_is_heard_and_cannot_be_reached,
    without_a_daemon,
]


@pytest.mark.parametrize("play", PLAYS, ids=[play.__name__ for play in PLAYS])
def test_doctor(played: Callable[[Callable[[Scene], None]], None], play: Callable[[Scene], None]) -> None:
    played(play)

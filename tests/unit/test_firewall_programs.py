"""Which programs are asked for a firewall's rules, what is made of the answers, and the command that mends."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from p2pmsg.daemon import firewall_programs
from p2pmsg.daemon.firewall_programs import Run, check
from p2pmsg.daemon.rows import Row
from p2pmsg.model.addresses import Interface

ETH0 = Interface("eth0", 2, (("10.77.0.1", 24),), ())
SUDO = "sudo " if os.geteuid() else ""
DENY = "-P INPUT DROP\n"


def nft(*rules: dict[str, object], policy: str = "drop", table: str = "filter") -> str:
    base = {"family": "inet", "table": table, "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": policy}
    made = [{"rule": {"family": "inet", "table": table, "chain": "input", "expr": [*rule["expr"]]}} for rule in rules]  # type: ignore[misc]
    return json.dumps({"nftables": [{"chain": base}, *made]})


def allow(*ports: int) -> dict[str, object]:
    left = {"payload": {"protocol": "udp", "field": "dport"}}
    return {"expr": [{"match": {"op": "==", "left": left, "right": {"set": list(ports)}}}, {"accept": None}]}


def machine(**answers: str | None) -> Run:
    """Return a machine where these programs are: what each prints, or None where it refuses."""

    def run(command: Sequence[str]) -> str | None:
        name = command[0].replace("-", "_")
        if name not in answers:
            raise FileNotFoundError(name)
        return answers[name]

    return run


def checked(run: Run, port: int | None = 45_454, ufw_settings: str = "/nowhere") -> Row:
    return check([ETH0], port, run, Path(ufw_settings))


def test_no_rules_let_everything_in() -> None:
    row = checked(machine(nft='{"nftables": []}'))
    assert row.ok is True and "5353 (mDNS) and 45454 (the daemon's)" in row.detail


def test_a_policy_that_keeps_both_out_is_mended_by_one_more_rule() -> None:
    row = checked(machine(nft=nft()))
    assert row.ok is False and "nft inet filter input keeps out UDP 5353 (mDNS) and 45454 (the daemon's) on eth0" in row.detail
    assert row.hint == f"{SUDO}nft add rule inet filter input udp dport {{ 5353, 45454 }} accept"


def test_only_what_is_kept_out_is_named() -> None:
    assert checked(machine(nft=nft(allow(5353)))).hint == f"{SUDO}nft add rule inet filter input udp dport 45454 accept"
    assert checked(machine(nft=nft(allow(5353, 45_454)))).ok is True
    assert checked(machine(nft=nft(allow(5353))), port=None).ok is True


def test_before_a_last_rule_that_drops_the_new_one_comes_first() -> None:
    row = checked(machine(nft=nft({"expr": [{"reject": None}]}, policy="accept")))
    assert row.hint == f"{SUDO}nft insert rule inet filter input udp dport {{ 5353, 45454 }} accept"


def test_iptables() -> None:
    row = checked(machine(iptables=DENY))
    assert row.ok is False and row.hint == f"{SUDO}iptables -A INPUT -p udp -m multiport --dports 5353,45454 -j ACCEPT"
    first = checked(machine(iptables="-P INPUT ACCEPT\n-A INPUT -j DROP"))
    assert first.hint == f"{SUDO}iptables -I INPUT -p udp -m multiport --dports 5353,45454 -j ACCEPT"


def test_what_nft_cannot_show_iptables_tells() -> None:
    opaque = nft({"expr": [{"xt": None}, {"accept": None}]}).replace('"inet"', '"ip"').replace('"input"', '"INPUT"', 1)
    opaque = opaque.replace('"chain": "input"', '"chain": "INPUT"').replace('"hook": "INPUT"', '"hook": "input"')
    assert checked(machine(nft=opaque)).ok is None
    assert checked(machine(nft=nft({"expr": [{"limit": {}}, {"accept": None}]}), iptables="-P INPUT ACCEPT")).ok is None
    both = checked(machine(nft=nft(), iptables=DENY))
    assert both.ok is False and both.hint.startswith(f"{SUDO}iptables -A")
    assert checked(machine(nft=opaque, iptables=DENY)).ok is False
    assert checked(machine(nft=opaque, iptables="-P INPUT ACCEPT")).ok is True


def test_who_looks_after_the_rules_is_the_one_to_tell(tmp_path: Path) -> None:
    by_ufw = checked(machine(iptables=DENY + "-N ufw-user-input\n"))
    assert by_ufw.hint == "sudo ufw allow 5353/udp && sudo ufw allow 45454/udp"
    by_firewalld = checked(machine(nft=nft(table="firewalld")))
    assert by_firewalld.hint == "sudo firewall-cmd --permanent --add-port=5353/udp --add-port=45454/udp && sudo firewall-cmd --reload"
    assert checked(machine(nft=nft(), firewall_cmd="running")).hint == by_firewalld.hint
    (tmp_path / "ufw.conf").write_text("ENABLED=yes\n")
    assert checked(machine(nft=nft()), ufw_settings=str(tmp_path / "ufw.conf")).hint == by_ufw.hint


def test_who_may_not_look_says_so() -> None:
    row = checked(machine(nft=None))
    assert row.ok is None and "only root" in row.detail and row.hint == "sudo nft list ruleset"
    known = checked(machine(nft=None, firewall_cmd="running"))
    assert known.ok is None and "firewalld is on" in known.detail and "--add-port=45454/udp" in known.hint


def test_nothing_to_ask() -> None:
    assert checked(machine()).ok is None
    assert checked(machine(nft="garbage")).ok is None
    assert check([], 45_454, machine(nft=nft())).ok is None


def test_real_programs_are_run_and_their_failures_are_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, lines in (("good", "echo rules"), ("bad", "exit 1"), ("slow", "sleep 9")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(firewall_programs, "TIMEOUT_S", 0.1)
    assert [firewall_programs.run_program([name]) for name in ("good", "bad", "slow")] == ["rules\n", None, None]
    with pytest.raises(FileNotFoundError):
        firewall_programs.run_program(["no-such-program"])

"""The firewall of this machine: reads the rules in force by the programs that may be there, and names the command that mends them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pmsg.daemon import firewall, iptables_rules, nft_rules
from p2pmsg.daemon.firewall import Chain, Outcome, Packet, Verdict
from p2pmsg.daemon.rows import Row
from p2pmsg.model.addresses import Interface

MDNS_PORT = 5353
TIMEOUT_S = 5.0
UFW_SETTINGS = Path("/etc/ufw/ufw.conf")
_OF_IPTABLES = "nft ip filter INPUT"
"""How nft names the chain that is iptables' own."""
_PLACES = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where such programs are, whatever an ordinary user's PATH says."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one program."""

    bases: list[Chain]
    chains: dict[str, Chain]


Run = Callable[[Sequence[str]], str | None]
"""Returns what a program printed; None where it failed. Raises: FileNotFoundError where it is not there."""


def check(interfaces: Sequence[Interface], port: int | None, run: Run | None = None, ufw_settings: Path = UFW_SETTINGS) -> Row:
    """Say whether mDNS, and what others send to the daemon's port, comes in on all these interfaces."""
    run = run or run_program
    found, refused = _read(run)
    if not found and not refused:
        return Row("firewall", None, "There is no program here that could tell the rules (nft, iptables).", "")
    manager = _manager(found, run, ufw_settings)
    ports = [port] if port else []
    hint = _hint(manager, [MDNS_PORT, *ports], None)
    if refused and not found:
        what = f"{manager} is on, but" if manager else "Whether a firewall keeps others out is not known:"
        return Row("firewall", None, f"{what} only root may read its rules.", hint if manager else "sudo nft list ruleset")
    outcomes = [(packet, _decide(found, packet)) for packet in _packets(interfaces, ports)]
    blocked = [(packet, outcome) for packet, outcome in outcomes if outcome.verdict is Verdict.DROP]
    if blocked:
        kept_out = sorted({packet.port for packet, _ in blocked})
        chain = blocked[0][1].chain
        where = sorted({packet.interface for packet, _ in blocked})
        detail = f"{chain.name if chain else 'A rule'} keeps out UDP {_named(kept_out)} on {', '.join(where)}."
        return Row("firewall", False, detail, _hint(manager, kept_out, blocked[0][1]))
    unsure = sorted({packet.port for packet, outcome in outcomes if outcome.verdict is Verdict.UNSURE})
    if unsure:
        return Row("firewall", None, f"Whether the rules let in UDP {_named(unsure)} cannot be told for sure.", hint)
    if not outcomes:
        return Row("firewall", None, "No interface is in use.", "")
    return Row("firewall", True, f"The rules of this machine let in UDP {_named([MDNS_PORT, *ports])}.", "")


def _read(run: Run) -> tuple[list[Rules], bool]:
    """Return the rules that can be read, and whether somebody refused to show them."""
    found, refused = [], False
    readers = (
        (["nft", "--json", "list", "ruleset"], nft_rules.parse),
        (["iptables", "-S"], iptables_rules.parse),
    )
    for command, parse in readers:
        try:
            text = run(command)
        except FileNotFoundError:
            continue
        if text is None:
            refused = True
            continue
        with contextlib.suppress(ValueError):
            found.append(Rules(*parse(text)))
    return found, refused


def _decide(found: Iterable[Rules], packet: Packet) -> Outcome:
    """Return what becomes of a packet that all programs' rules see.

    iptables nowadays writes rules of nftables that nft cannot show whole: where nft is unsure, and iptables is not, that counts, and
    where both know, iptables' own words mend.
    """
    outcomes = [firewall.decide(rules.bases, rules.chains, packet) for rules in found]
    for outcome in reversed(outcomes):
        if outcome.verdict is Verdict.DROP:
            return outcome
    told_twice = len(outcomes) > 1
    for outcome in outcomes:
        if outcome.verdict is Verdict.UNSURE and not (told_twice and outcome.chain is not None and outcome.chain.name == _OF_IPTABLES):
            return outcome
    return outcomes[-1] if outcomes else Outcome(Verdict.ACCEPT)


def _packets(interfaces: Sequence[Interface], ports: Sequence[int]) -> list[Packet]:
    found: list[Packet] = []
    for interface in interfaces:
        for own, prefix in (interface.ipv4 or interface.ipv6)[:1]:
            found += firewall.packets(interface.name, own, prefix, ports, MDNS_PORT)
    return found


def _manager(found: Sequence[Rules], run: Run, ufw_settings: Path) -> str | None:
    """Return who looks after the rules: whoever writes past him is undone at the next start."""
    names = {name for rules in found for name in rules.chains}
    if any("ufw" in name for name in names):
        return "ufw"
    if any(" firewalld " in name for name in names):
        return "firewalld"
    with contextlib.suppress(OSError):
        if "ENABLED=yes" in ufw_settings.read_text():
            return "ufw"
    with contextlib.suppress(FileNotFoundError):
        if run(["firewall-cmd", "--state"]) is not None:
            return "firewalld"
    return None


def _hint(manager: str | None, ports: Sequence[int], outcome: Outcome | None) -> str:
    """Return the command that lets these ports in."""
    if manager == "ufw":
        return " && ".join(f"sudo ufw allow {port}/udp" for port in ports)
    if manager == "firewalld":
        words = " ".join(f"--add-port={port}/udp" for port in ports)
        return f"sudo firewall-cmd --permanent {words} && sudo firewall-cmd --reload"
    if outcome is None or outcome.chain is None:
        return "sudo nft list ruleset"
    text = outcome.chain.command if outcome.by_policy else outcome.chain.command_first
    joined = ",".join(map(str, ports))
    if "nft " in text and len(ports) > 1:
        joined = f"{{ {', '.join(map(str, ports))} }}"
    return ("sudo " if os.geteuid() else "") + text.replace("{ports}", joined)


def _named(ports: Sequence[int]) -> str:
    return " and ".join(f"{port} (mDNS)" if port == MDNS_PORT else f"{port} (the daemon's)" for port in ports)


def run_program(command: Sequence[str]) -> str | None:
    """Run a program that prints rules. Raises: FileNotFoundError."""
    program = shutil.which(command[0], path=os.pathsep.join([os.environ.get("PATH", ""), _PLACES]))
    if program is None:
        raise FileNotFoundError(command[0])
    environ = {"LC_ALL": "C", "PATH": f"{os.defpath}:{_PLACES}"}
    try:
        done = subprocess.run(
            [program, *command[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environ
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None

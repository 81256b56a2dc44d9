"""`doctor --with NAME`: asks one contact what it hears of me, and says on which side the way between the two breaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from p2pmsg.config import limits
from p2pmsg.daemon.checks import Answer
from p2pmsg.daemon.node import Node
from p2pmsg.daemon.objects import name_of
from p2pmsg.daemon.rows import Row
from p2pmsg.model.addresses import Interface, Path
from p2pmsg.model.ids import AccountId, DeviceId
from p2pmsg.protocol.links import Opened

DIAL_S: Final = 6.0
"""A dial is given up after 5 s."""


async def examine(node: Node, account: AccountId, interfaces: Sequence[Interface]) -> list[Row]:
    """Return what can be told of the way to a contact; dials it first where there is no link."""
    name = name_of(node.people, account)
    opened = next(iter(node.links.of_account(account)), None)
    first = opened is not None
    if opened is None:
        opened = await dial(node, account)
    if opened is None:
        return [_unreachable(node, account, name), _heard_row(node, account, name)]
    rows = [_linked(node, opened, name, dialled_now=not first), _heard_row(node, account, name)]
    answer = await _ask(node, opened)
    if answer is None:
        return [*rows, Row("with_hears_me", None, f"{name} did not say; its version may be older.", f"on {name}'s machine: p2pmsg doctor")]
    return [*rows, _hears_me(node, account, name, answer), _address(answer, name, interfaces), _clock(answer, name)]


async def _ask(node: Node, opened: Opened) -> Answer | None:
    """Ask twice: somebody else may have asked just before."""
    return await node.checks.ask(opened.link) or await node.checks.ask(opened.link)


async def dial(node: Node, account: AccountId) -> Opened | None:
    """Have the contact dialled wherever it may be, and return its link once there is one."""
    changed = asyncio.Event()

    def tell(device: DeviceId) -> None:
        changed.set()

    node.peer_changed.append(tell)
    try:
        node.presence.network_changed([account], node.clock.now())
        node.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DIAL_S):
                while not node.links.of_account(account):
                    await changed.wait()
                    changed.clear()
    finally:
        node.peer_changed.remove(tell)
    return next(iter(node.links.of_account(account)), None)


def _linked(node: Node, opened: Opened, name: str, *, dialled_now: bool) -> Row:
    link = node.linkage.get(opened.link)
    where = f"by {link.path.value} at {link.address}" if link is not None else ""
    rtt = link.connection.rtt_ms if link is not None else None
    speed = f", {rtt:.1f} ms there and back" if rtt is not None else ""
    return Row("with", True, f"{name} {'answered a dial' if dialled_now else 'is linked'} {where}{speed}.")


def _unreachable(node: Node, account: AccountId, name: str) -> Row:
    places = node.presence.places(account)
    heard = _lately(node, account)
    if any(place.refusals for place in places):
        return Row(
            "with", False, f"{name}'s machine answers, and refuses: it broke on its side.", f"on {name}'s machine: p2pmsg contact list"
        )
    where = ", ".join(str(place.address) for place in places[:4])
    if heard and where:
        detail = f"{name} is there (it announced {heard}), and silent at {where}: it broke on the way there, or at its firewall."
        return Row("with", False, detail, f"on {name}'s machine: p2pmsg doctor")
    if where:
        detail = f"{name} was dialled at {where}, and nobody answered; it was not heard either."
        return Row("with", False, detail, f"See that {name}'s daemon runs, on this network: p2pmsg status")
    hint = "If it is here: p2pmsg config set discovery.static ADDRESS:PORT"
    return Row("with", False, f"It is not known where {name} is: nothing was heard of it, and it was not met on this network.", hint)


def _lately(node: Node, account: AccountId) -> str:
    now, heard = node.clock.now(), node.checks.heard(account)
    return ", ".join(f"{int(now - each.last)} s ago by {path.value}" for path, each in heard.items())


def _heard_row(node: Node, account: AccountId, name: str) -> Row:
    heard = _lately(node, account)
    if node.checks.hears(account, Path.MDNS):
        return Row("with_i_hear", True, f"{name}'s announcements are heard here: {heard}.")
    said = f" What was heard: {heard}." if heard else ""
    return Row("with_i_hear", None, f"No announcement of {name}'s was heard here by mDNS lately.{said}")


def _hears_me(node: Node, account: AccountId, name: str, answer: Answer) -> Row:
    """Say what the contact hears of me, and put it beside what I hear of it: that tells the side."""
    said = ", ".join(f"{last} s ago by {path.value}" for path, (_, last) in answer.heard.items())
    hears_me, i_hear = answer.hears(Path.MDNS), node.checks.hears(account, Path.MDNS)
    if hears_me and i_hear:
        return Row("with_hears_me", True, f"{name} hears my announcements: {said}. Both sides hear each other.")
    if hears_me:
        detail = f"{name} hears my announcements ({said}), and I do not hear {name}'s: it breaks on this side, or it does not announce."
        return Row("with_hears_me", False, detail, "See the rows firewall and multicast of: p2pmsg doctor")
    if i_hear:
        detail = f"{name} does not hear my announcements by mDNS, and I hear {name}'s: it breaks on {name}'s side."
        return Row("with_hears_me", False, detail, f"on {name}'s machine: p2pmsg doctor")
    otherwise = f" It heard me {said}." if said else ""
    detail = f"Neither of the two hears the other by mDNS: it breaks between them, the network drops multicast.{otherwise}"
    return Row("with_hears_me", False, detail, "The other ways go on: beacon, last_known, static in discovery.paths")


def _address(answer: Answer, name: str, interfaces: Sequence[Interface]) -> Row:
    own = {host for interface in interfaces for host, _ in (*interface.ipv4, *interface.ipv6)}
    if answer.address is None:
        return Row("with_sees_me", None, f"{name} does not say where my packets come from.")
    if answer.address.host in own:
        return Row("with_sees_me", True, f"{name} sees this machine at {answer.address}.")
    detail = f"{name} sees this machine at {answer.address}, which is none of its addresses: something between translates addresses."
    return Row("with_sees_me", None, detail, "Links that this machine dials work; others may not find the way in.")


def _clock(answer: Answer, name: str) -> Row:
    if abs(answer.clock_ahead_ms) <= limits.CLOCK_AHEAD_MS:
        return Row("with_clock", True, f"{name}'s clock is {answer.clock_ahead_ms / 1000:+.1f} s from this one.")
    minutes = round(abs(answer.clock_ahead_ms) / 60_000)
    side = "ahead of" if answer.clock_ahead_ms > 0 else "behind"
    return Row(
        "with_clock", False, f"{name}'s clock is {minutes} min {side} this one: one of the two is wrong.", "timedatectl, on both machines"
    )

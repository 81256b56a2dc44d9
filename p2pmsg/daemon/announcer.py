"""Epochs and announcements: what this node says of itself on the network, and when that changes (DESIGN 9).

Name, nonce, tags and certificate are one epoch and change together: at start, when addresses change, on wake, every 12 hours.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Sequence

from p2pmsg.config import limits
from p2pmsg.crypto import gates
from p2pmsg.daemon.hints import Hints
from p2pmsg.daemon.node import Node
from p2pmsg.errors import MdnsUnavailable, PeerMisbehaved
from p2pmsg.model.addresses import Address, Interface, Path
from p2pmsg.model.ids import AccountId
from p2pmsg.model.names import nick_of
from p2pmsg.network import interfaces
from p2pmsg.network.announcements import VERSION, Announcement
from p2pmsg.network.beacon import Beacon
from p2pmsg.network.discovery import Discovery
from p2pmsg.network.endpoint import Endpoint
from p2pmsg.protocol.addresses import decode_announced, encode_announced
from p2pmsg.protocol.wire import Announced

_log = logging.getLogger(__name__)
_NONCE_BYTES = 10


class Announcer:
    """Publishes this node's epochs and hands sightings of contacts to the node."""

    def __init__(self, node: Node, endpoint: Endpoint) -> None:
        self.interfaces: tuple[Interface, ...] = ()
        self.problem: MdnsUnavailable | None = None
        self.other_versions: dict[AccountId, int] = {}
        """Which version of the protocol each contact's latest announcement was of, where not of ours."""
        self._node = node
        node.visibility.changed = self._visibility_changed
        node.announce_anew = self.new_epoch
        node.checks.look = self.look
        self._endpoint = endpoint
        self._discovery: Discovery | None = None
        self._beacon: Beacon | None = None
        self.shown: Announcement | None = None
        """How strangers see this node, or saw it last."""
        self.hints: Hints | None = None
        self._turn = 0

    def attach(self, discovery: Discovery, beacon: Beacon | None = None, hints: Hints | None = None) -> None:
        """Announce by these from now on."""
        self._discovery, self._beacon, self.hints = discovery, beacon, hints

    # -- what discovery hears

    def announced(self, nonce: bytes, addresses: bytes, tags: bytes, version: int, path: Path = Path.MDNS) -> None:
        """Somebody announced: a contact is dialled at the addresses that its tag covers, strangers are passed over."""
        if version != VERSION:
            if (account := self._node.people.recognise(nonce, addresses, tags)) is not None:
                self.other_versions[account] = version
            return
        if self.other_versions and (account := self._node.people.recognise(nonce, addresses, tags)) is not None:
            self.other_versions.pop(account, None)
        if usable := self._usable(addresses):
            self._node.announced(nonce, addresses, tags, usable, path)

    def beacon_heard(self, heard: Announcement) -> None:
        """Somebody announced by a broadcast."""
        self.announced(heard.nonce, heard.addresses, heard.tags, heard.version, Path.BEACON)

    def hint_heard(self, heard: Announced) -> None:
        """A peer handed on how somebody announces himself."""
        self.announced(heard.nonce, heard.addresses, heard.tags, VERSION, Path.HINT)

    def interfaces_changed(self, found: tuple[Interface, ...]) -> None:
        """Addresses changed, or the machine woke: a new epoch."""
        self.interfaces = found
        self.new_epoch()

    def mdns_changed(self, problem: MdnsUnavailable | None) -> None:
        self.problem = problem

    # -- what we say

    def new_epoch(self) -> None:
        """Draw a new name, nonce, tags and certificate, and announce them."""
        self._endpoint.new_epoch()
        if self._discovery is None or not self.interfaces:
            return
        nonce = os.urandom(_NONCE_BYTES)
        addresses = encode_announced(hosts_of(self.interfaces), self._endpoint.port)
        tags = self._tags(nonce, addresses)
        self._discovery.publish(nonce, self._endpoint.port, addresses, tags, self.interfaces)
        if self._beacon is not None:
            self._beacon.publish(Announcement(nonce, addresses, tags), self.interfaces)
        if self.hints is not None:
            self.hints.epoch_changed(Announced(nonce, addresses, tags))
        if self._node.visibility.on:
            self._show()
        _log.info("new epoch on %s, port %d", ", ".join(i.name for i in self.interfaces), self._endpoint.port)

    @property
    def epoch_s(self) -> float:
        """How long the present epoch lasts: while those who need a tag of their own take turns, not long."""
        crowded = len(self._node.presence_keys.lagging()) > limits.TAGS - 1
        return limits.EPOCH_CROWDED_S if crowded else limits.EPOCH_S

    def contacts_changed(self) -> None:
        """There is a new contact: what was announced before by somebody then unknown may be his."""
        if self._discovery is not None:
            self._discovery.replay()

    def _visibility_changed(self) -> None:
        """Be seen by strangers beside the announcement that contacts know; afterwards nothing leads from that name to the next."""
        if self._node.visibility.on:
            self._show()
        elif self._discovery is not None:
            self._discovery.hide()
            self.new_epoch()

    def _show(self) -> None:
        if self._discovery is None or not self.interfaces:
            return
        addresses = encode_announced(hosts_of(self.interfaces), self._endpoint.port)
        nickname = nick_of(self._node.people.mine.nickname, limits.NICK_BYTES)
        tags = os.urandom(limits.TAGS * gates.TAG_BYTES)
        self.shown = Announcement(os.urandom(_NONCE_BYTES), addresses, tags, nickname=nickname)
        self._discovery.show(self.shown, self._endpoint.port, self.interfaces)

    # -- who is nearby

    @property
    def can_show(self) -> bool:
        """Whether strangers can be seen, and see us, at all."""
        return self._discovery is not None and self._discovery.multicasts

    def look(self) -> None:
        """Ask who is visible."""
        if self._discovery is not None:
            self._discovery.look()

    def nearby(self, since: float) -> list[Announcement]:
        """Return who was seen since a moment of the node's clock."""
        return [] if self._discovery is None else self._discovery.nearby(since)

    def addresses_of(self, shown: Announcement) -> list[Address]:
        """Return where a visible node can be dialled from here."""
        return self._usable(shown.addresses)

    def _usable(self, addresses: bytes) -> list[Address]:
        """Return what was announced as it can be dialled: on-link or private alone, or we would send packets for others."""
        try:
            found = decode_announced(addresses)
        except PeerMisbehaved:
            return []
        hosts = [host for address in found for host in scoped(address, self.interfaces)]
        return [host for host in hosts if interfaces.acceptable(host, self.interfaces)]

    def _tags(self, nonce: bytes, addresses: bytes) -> bytes:
        """Return 8 tags, shuffled, the unused ones random: their number tells nothing.

        Who may not hold my newest presence key recognises me by the pair's; where there are more of those than tags they take turns.
        """
        lagging = [contact.pair_key for contact in self._node.presence_keys.lagging() if contact.pair_key is not None]
        at = self._turn % max(1, len(lagging))
        self._turn += limits.TAGS - 1
        keys = [self._node.people.me.presence_key, *lagging[at:], *lagging[:at]]
        tags = [gates.tag(key, nonce, addresses) for key in keys[: limits.TAGS]]
        tags += [os.urandom(gates.TAG_BYTES) for _ in range(limits.TAGS - len(tags))]
        random.SystemRandom().shuffle(tags)
        return b"".join(tags)


def hosts_of(found: Sequence[Interface]) -> list[str]:
    """Return the addresses to announce, best first: IPv4, then link-local IPv6, then other IPv6."""
    ipv4 = [host for interface in found for host, _ in interface.ipv4]
    ipv6 = [host for interface in found for host, _ in interface.ipv6]
    local = [host for host in ipv6 if host.lower().startswith("fe80:")]
    return ipv4 + local + [host for host in ipv6 if host not in local]


def scoped(address: Address, found: Sequence[Interface]) -> list[Address]:
    """Return an address as it can be dialled: a link-local one is tried on every own interface that has IPv6."""
    if not address.host.lower().startswith("fe80:"):
        return [address]
    return [Address(address.host, address.port, interface.index) for interface in found if interface.ipv6 and not interface.loopback]

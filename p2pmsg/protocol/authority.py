"""Who may do what: one resolver for devices and, later, groups (DESIGN 6); stateless.

This version knows the links `genesis` and `profile`; removals, additions and root links come with own devices, and
unknown kinds are refused by `crypto.chain` before they get here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from p2pmsg.config import limits
from p2pmsg.crypto.chain import device_id
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.accounts import ChainLink, Device, LinkKind, Membership
from p2pmsg.model.events import Claim, Conversation
from p2pmsg.model.ids import AccountId, ChainLinkId, DeviceId


def resolve(links: Iterable[ChainLink]) -> Membership:
    """Return what an account chain says; the order of `links` does not matter.

    Raises:
        PeerMisbehaved: not exactly one genesis, a predecessor missing, a link of another account or of a signer that was no admin
            before it, two links of one signer side by side, or a limit passed.
    """
    chain = {link.id: link for link in links}
    if len(chain) > limits.CHAIN_LINKS:
        raise PeerMisbehaved("an account chain has too many links")
    roots = [link for link in chain.values() if link.kind is LinkKind.GENESIS]
    if len(roots) != 1:
        raise PeerMisbehaved("an account chain has not exactly one genesis")
    genesis = roots[0]
    ancestry = _Ancestry(chain)
    _check_signers(chain, ancestry, genesis)
    key = genesis.device_key
    assert key is not None and genesis.device_name is not None  # by crypto.chain.parse
    first = Device(device_id(genesis.account, key), key, genesis.device_name, admin=True, active=True)
    return Membership(
        genesis.account,
        heads(chain.values()),
        frozenset(chain),
        {first.id: first},
        _nickname(chain, ancestry),
        {link.id: link.previous for link in chain.values()},
    )


def heads(links: Iterable[ChainLink]) -> tuple[ChainLinkId, ...]:
    """Return the sorted ids of the links that no other names as predecessor."""
    links = list(links)
    named = {previous for link in links for previous in link.previous}
    return tuple(sorted(link.id for link in links if link.id not in named))


def in_order(links: Iterable[ChainLink]) -> tuple[ChainLink, ...]:
    """Return links with predecessors first (ties by id), the order in which they are sent and stored."""
    chain = {link.id: link for link in links}
    ancestry = _Ancestry(chain)
    return tuple(sorted(chain.values(), key=lambda link: (ancestry.depth(link), link.id)))


def may_have(conversation: Conversation, account: AccountId) -> bool:
    """Say whether an account's devices may have this conversation's events: its members may, nobody else."""
    return account in conversation.members


def ceiling(conversation: Conversation, device: DeviceId) -> Claim | None:
    """Return up to where a device's log counts; None without a cutoff, and none exist before own devices can be removed."""
    return None


def _topological(chain: Mapping[ChainLinkId, ChainLink]) -> list[ChainLink]:
    """Return links with predecessors first; without recursion, as peers choose the depth."""
    waiting = {link.id: len(set(link.previous)) for link in chain.values()}
    following: dict[ChainLinkId, list[ChainLink]] = {each: [] for each in chain}
    for link in chain.values():
        for previous in set(link.previous):
            if previous not in chain:
                raise PeerMisbehaved("an account chain lacks a predecessor")
            following[previous].append(link)
    done = [link for link in chain.values() if not link.previous]
    for link in done:
        for after in following[link.id]:
            waiting[after.id] -= 1
            if not waiting[after.id]:
                done.append(after)
    if len(done) < len(chain):
        raise PeerMisbehaved("links of an account chain stand in a ring")  # no hash can, but those who call us need not know
    return done


class _Ancestry:
    """Who comes before whom: of each link a number of 1,000 bits, one for each link that is an ancestor. Sets would take half a million."""

    def __init__(self, chain: Mapping[ChainLinkId, ChainLink]) -> None:
        self._bits: dict[ChainLinkId, int] = {}
        self._above: dict[ChainLinkId, int] = {}
        for place, link in enumerate(_topological(chain)):
            self._bits[link.id] = 1 << place
            self._above[link.id] = 0
            for previous in link.previous:
                self._above[link.id] |= self._above[previous] | self._bits[previous]

    def depth(self, link: ChainLink) -> int:
        """Return how many ancestors a link has."""
        return self._above[link.id].bit_count()

    def before(self, one: ChainLink, other: ChainLink) -> bool:
        """Say whether one is an ancestor of the other."""
        return bool(self._above[other.id] & self._bits[one.id])


def _check_signers(chain: Mapping[ChainLinkId, ChainLink], ancestry: _Ancestry, genesis: ChainLink) -> None:
    line: list[ChainLink] = []
    for link in chain.values():
        if link.account != genesis.account:
            raise PeerMisbehaved("a link belongs to another account")
        if link is genesis:
            continue
        if link.signer != genesis.device_key or not ancestry.before(genesis, link):
            raise PeerMisbehaved("a link is signed by a key that was no admin before it")
        line.append(link)
    line.sort(key=ancestry.depth)
    if any(not ancestry.before(a, b) for a, b in itertools.pairwise(line)):
        raise PeerMisbehaved("one signer made two links side by side")


def _nickname(chain: Mapping[ChainLinkId, ChainLink], ancestry: _Ancestry) -> str:
    named = [link for link in chain.values() if link.nickname]
    newest = max(named, key=lambda link: (ancestry.depth(link), link.id), default=None)
    return newest.nickname or "" if newest else ""

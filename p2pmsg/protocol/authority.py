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
    ancestors = _ancestors(chain)
    _check_signers(chain, ancestors, genesis)
    key = genesis.device_key
    assert key is not None and genesis.device_name is not None  # by crypto.chain.parse
    first = Device(device_id(genesis.account, key), key, genesis.device_name, admin=True, active=True)
    return Membership(
        genesis.account,
        heads(chain.values()),
        frozenset(chain),
        {first.id: first},
        _nickname(chain, ancestors),
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
    depth = {link: len(above) for link, above in _ancestors(chain).items()}
    return tuple(sorted(chain.values(), key=lambda link: (depth[link.id], link.id)))


def may_have(conversation: Conversation, account: AccountId) -> bool:
    """Say whether an account's devices may have this conversation's events: its members may, nobody else."""
    return account in conversation.members


def ceiling(conversation: Conversation, device: DeviceId) -> Claim | None:
    """Return up to where a device's log counts; None without a cutoff, and none exist before own devices can be removed."""
    return None


def _ancestors(chain: Mapping[ChainLinkId, ChainLink]) -> dict[ChainLinkId, frozenset[ChainLinkId]]:
    """Map each link to all links before it, itself left out; without recursion, as peers choose the depth."""
    done: dict[ChainLinkId, frozenset[ChainLinkId]] = {}
    stack = list(chain)
    while stack:
        link = chain[stack[-1]]
        if link.id in done:
            stack.pop()
            continue
        if any(previous not in chain for previous in link.previous):
            raise PeerMisbehaved("an account chain lacks a predecessor")
        missing = [previous for previous in link.previous if previous not in done]
        if missing:
            stack += missing
            continue
        done[link.id] = frozenset(link.previous).union(*(done[previous] for previous in link.previous))
        stack.pop()
    return done


def _check_signers(
    chain: Mapping[ChainLinkId, ChainLink], ancestors: Mapping[ChainLinkId, frozenset[ChainLinkId]], genesis: ChainLink
) -> None:
    line: list[ChainLink] = []
    for link in chain.values():
        if link.account != genesis.account:
            raise PeerMisbehaved("a link belongs to another account")
        if link is genesis:
            continue
        if link.signer != genesis.device_key or genesis.id not in ancestors[link.id]:
            raise PeerMisbehaved("a link is signed by a key that was no admin before it")
        line.append(link)
    line.sort(key=lambda link: len(ancestors[link.id]))
    if any(a.id not in ancestors[b.id] for a, b in itertools.pairwise(line)):
        raise PeerMisbehaved("one signer made two links side by side")


def _nickname(chain: Mapping[ChainLinkId, ChainLink], ancestors: Mapping[ChainLinkId, frozenset[ChainLinkId]]) -> str:
    named = [link for link in chain.values() if link.nickname]
    newest = max(named, key=lambda link: (len(ancestors[link.id]), link.id), default=None)
    return newest.nickname or "" if newest else ""

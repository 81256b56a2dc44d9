"""Gate keys, tags, and the ids that are derived from accounts or a link's secrets: who may know that I am here, and by what he knows it."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2s
from typing import Final

from p2pmsg.crypto import domains
from p2pmsg.crypto.hashing import digest, mac
from p2pmsg.model.ids import AccountId, ConversationId

TAG_BYTES: Final = 8
LINK_ID_BYTES: Final = 8
_INVITE_ID_BYTES: Final = 8


def pair_key(master: bytes | bytearray, a: AccountId, b: AccountId) -> bytes:
    """Return k_pair of the link on which two accounts become contacts; `master` is that link's K."""
    return mac(master, domains.PAIR, *sorted((a, b)))


def pair_gate(key: bytes, a: AccountId, b: AccountId) -> bytes:
    """Return the gate key of two accounts; both have it, in whatever order they name themselves."""
    return mac(key, domains.GATE_PAIR, *sorted((a, b)))


def invite_gate(secret: bytes, account: AccountId) -> bytes:
    """Return the gate key of an invite that `account` made; whoever holds the 16-byte secret has it."""
    return mac(secret, domains.GATE_INVITE, account)


def sas_gate(t: bytes, x: bytes) -> bytes:
    """Return the gate key of two who compared strings; `t` is what they compared, `x` the exporter of their TLS session."""
    return mac(t, domains.GATE_SAS, x)


def invite_id(secret: bytes) -> str:
    """Return the 16 hex characters by which an invite is listed; they tell nothing of its secret."""
    return digest(domains.INVITE_ID, secret)[:_INVITE_ID_BYTES].hex()


def link_id(exporter: bytes) -> bytes:
    """Return the 8 bytes by which both ends of a link, and nobody else, know it."""
    return digest(domains.LINK, exporter)[:LINK_ID_BYTES]


def tag(key: bytes, nonce: bytes, addresses: bytes) -> bytes:
    """Return the 8 bytes by which holders of `key` recognise an announcement of these addresses (the bytes of its `a=`)."""
    return blake2s(b"".join((domains.TAG, nonce, addresses)), key=key, digest_size=TAG_BYTES).digest()


@lru_cache(maxsize=256)
def self_conversation(account: AccountId) -> ConversationId:
    """Return the id of the conversation that an account has with itself."""
    return ConversationId(digest(domains.SELF, account))


@lru_cache(maxsize=4096)  # asked for with every message and every name that is typed
def direct_conversation(a: AccountId, b: AccountId) -> ConversationId:
    """Return the id of the conversation of two accounts."""
    return ConversationId(digest(domains.DIRECT, *sorted((a, b))))

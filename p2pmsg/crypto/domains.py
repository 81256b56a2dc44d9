"""The one table of domain strings: each begins what is hashed, signed or MACed, and names exactly one byte format.

Every part that follows a domain string has a fixed length or is the last one, so no two inputs of one domain are the same bytes.
"""

from __future__ import annotations

from typing import Final

# -- identity
CHAIN: Final = b"p2pmsg/1/chain\0"  # body of an account chain's link: its id, and what is signed
CHAIN_JOIN: Final = b"p2pmsg/1/chain/join\0"  # body of an `add`: what the new device signs
CHAIN_REROOT: Final = b"p2pmsg/1/chain/reroot\0"  # body of a `reroot`: what the admin signs
HEADS: Final = b"p2pmsg/1/heads\0"
DEVICE: Final = b"p2pmsg/1/device\0"
WORDS_ROOT: Final = b"p2pmsg/1/words/root\0"
WORDS_BACKUP: Final = b"p2pmsg/1/words/backup\0"

# -- conversations and events
SELF: Final = b"p2pmsg/1/self\0"
DIRECT: Final = b"p2pmsg/1/direct\0"
EVENT: Final = b"p2pmsg/1/event\0"  # header of an event: its id, and what is signed
BODY: Final = b"p2pmsg/1/body\0"

# -- gates and announcements
PAIR: Final = b"p2pmsg/1/pair\0"
GATE_PAIR: Final = b"p2pmsg/1/gate/pair\0"
GATE_INVITE: Final = b"p2pmsg/1/gate/invite\0"
GATE_SAS: Final = b"p2pmsg/1/gate/sas\0"
INVITE_ID: Final = b"p2pmsg/1/invite/id\0"
TAG: Final = b"p2pmsg/1/tag\0"

# -- handshake
T0: Final = b"p2pmsg/1/hs/t0\0"
T1: Final = b"p2pmsg/1/hs/t1\0"
T2: Final = b"p2pmsg/1/hs/t2\0"
GATE_MAC: Final = b"p2pmsg/1/hs/gate\0"
READY_MAC: Final = b"p2pmsg/1/hs/ready\0"
PROVE: Final = b"p2pmsg/1/hs/prove\0"
WELCOME: Final = b"p2pmsg/1/hs/welcome\0"
KEY: Final = b"p2pmsg/1/hs/key\0"

# -- links
LINK: Final = b"p2pmsg/1/link\0"  # exporter of a link's TLS session: what both ends call the link

# -- comparing
SAS_COMMIT: Final = b"p2pmsg/1/sas/commit\0"
SAS: Final = b"p2pmsg/1/sas\0"
VERIFY_COMMIT: Final = b"p2pmsg/1/verify/commit\0"
VERIFY: Final = b"p2pmsg/1/verify\0"
SAFETY_NUMBER: Final = b"p2pmsg/1/verify/number\0"

# -- channel
CHANNEL_DIALLER: Final = b"p2pmsg/1/ch/d\0"
CHANNEL_RESPONDER: Final = b"p2pmsg/1/ch/r\0"
CHANNEL_STEP: Final = b"p2pmsg/1/ch/step\0"
CHANNEL_SEAL: Final = b"p2pmsg/1/ch/seal\0"
CHANNEL_NEXT: Final = b"p2pmsg/1/ch/next\0"

# -- at rest
VAULT_DATABASE: Final = b"p2pmsg/1/vault/database\0"
VAULT_BRIDGE: Final = b"p2pmsg/1/vault/bridge\0"

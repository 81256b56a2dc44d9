"""Every length, count, queue and period in one place: what a peer controls is bounded here, tested at the limit and one above."""

from __future__ import annotations

# -- text and names
TEXT_BYTES = 65_536
NAME_CHARACTERS = 64
ID_CHARACTERS_MIN = 4
"""Of an id that somebody types: a shorter start names nothing."""

# -- chains
CHAIN_LINK_BYTES = 4096
CHAIN_BYTES = 256 * 1024
CHAIN_LINKS = 1000
CHAIN_FRAME_BYTES = 60_000
CHAIN_PREDECESSORS = 16
EVENT_HEADS = 8
DEVICES = 64

# -- handshake
UNPROVEN_BYTES = 4096
"""Taken from a peer whose MAC has not verified."""
HANDSHAKE_TIMEOUT_S = 5.0
FAILURE_TICK_S = 0.25
COMPARE_TIMEOUT_S = 120.0
"""Instead of HANDSHAKE_TIMEOUT_S, from the moment at which two people have something to compare until both have said yes."""
HALF_OPEN_PER_ADDRESS = 8
HALF_OPEN = 64
RETRY_ABOVE = 16
SILENT_SOCKETS = 64
"""Sockets of ports that I had before somebody was blocked; older ones are closed, and the system says there that nobody is at home."""
HALF_OPEN_UNDISTURBED_S = 0.5
"""A half-open link whose peer has shown no MAC for this long gives way to a newcomer when all places are taken."""
GATE_ROWS = 1000

# -- channel
FRAME_BYTES = 256 * 1024
RENEW_FRAMES = 50
RENEW_S = 600.0
EARLIEST_KEY_S = 540.0
HOLD_FRAMES = 200
HOLD_S = 10.0

# -- replication
HEADER_BYTES = 2048
BODY_BYTES = TEXT_BYTES + 1024
EVENTS_FRAME_BYTES = 65_536
"""A frame of events is closed at this size; one event alone may be larger."""
EVENTS_PER_FRAME = 512
UNACKNOWLEDGED_BYTES = 1 << 20
HAVE_CONVERSATIONS = 200
HAVE_LOGS = 512
"""Claims of one conversation in one HAVE."""
WANT_RANGES = 64
LOCATOR_ENTRIES = 48
BRANCHES = 4
PARENTS = 16
ASK_PATIENCE_S = 0.5
ASK_AGAIN_S = 10.0
"""After a giver that made no progress was given up and nobody else has the log."""
STORE_AGAIN_S = 5.0
STORE_AGAIN_MAX_S = 30.0
"""After events could not be stored: doubled with each time."""
COMPARE_EVERY_S = 300.0
HAVE_DELAY_S = 0.05
DELETED_EVENTS = 512
"""Events that one deletion names; a longer one is written as several."""
CLOCK_AHEAD_MS = 600_000
CLOCK_MAX_MS = (1 << 47) - 1
"""The latest time that a hybrid clock can tell (the year 6429)."""

# -- links
IDLE_TIMEOUT_S = 8.0
PING_AFTER_S = 4.0
"""A peer that falls silent is away after both, 12 s; a link on which nothing is said costs each side a packet in this time."""
OUTPUT_BYTES = 8 << 20
"""Unsent bytes after which a link is closed: its peer reads nothing."""
RECEIVE_WINDOW_BYTES = 2 << 20
"""What a proven peer may send beyond what was read here; also the most that a gap in the stream can cost."""
UNPROVEN_WINDOW_BYTES = 2 * UNPROVEN_BYTES
CRYPTO_PENDING_BYTES = 16_384
"""Parts of a TLS handshake kept while one before them is missing."""
REDIAL_RTT_S = 2.6
"""Assumed round trip of a redial: its first repetition would come after the dial timer, so silence costs one packet."""
DATAGRAM_BYTES = 1452
"""On an open link: what fits Ethernet under IPv6. Before, and where this does not pass, 1200."""
BLACK_HOLE_PROBES = 3
"""Probes without an answer after which datagrams become 1200 bytes again."""
KEY_UPDATE_PACKETS = 1 << 22
"""Half of what AES-GCM may seal under one key (RFC 9001 6.6)."""
LINKS_OVER = 4
"""Ended links with a device whose ids are kept, and told to it when the next one opens."""
LINGER_S = 1.0
"""How long a closed link repeats its close to a peer that missed it."""
FAREWELLS = 8
SOCKET_BUFFER_BYTES = 4 << 20
SOCKET_QUEUE = 1024
"""Datagrams kept while the kernel takes none; further ones are dropped, and QUIC sends them again."""
RECEIVE_BATCH = 64

# -- presence
ANNOUNCED_ADDRESSES = 8
ANNOUNCED_BYTES = 128
TAGS = 8
ADDRESSES_PER_CONTACT = 4
REDIAL_EVERY_S = 5.0
REDIAL_FOR_S = 3600.0
DIALS_PER_S = 20
STRANGERS_REMEMBERED = 2000
HINTS = 16
HINT_EVERY_S = 1.0
SIGHTINGS = 8
"""Paths by which an announcement was heard, in one CHECKED."""
VERIFY_EVERY_S = 1.0
"""After one comparison on a link no other is begun by its peer for so long."""
TYPING_EVERY_S = 3.0
"""A contact is told no more often that I type."""
TYPING_HEARD_S = 1.0
"""After a TYPING of a contact's further ones are passed over for so long."""
TYPING_SHOWN_S = 6.0
"""So long somebody counts as typing of whom nothing more is heard."""
CHECK_EVERY_S = 1.0
"""A link's CHECK frames are answered no faster."""
SWEEP_EVERY_S = 0.004
"""Between two questions of a search of all addresses: 250/s."""
SWEEP_LISTEN_S = 1.5
"""After the last one: who is looked for by ARP answers at the second request, a second later, where the first was lost."""
SWEEP_ANSWERS = 4
"""Packets that one address may answer with."""
DNS_SD_AGAIN_S = 5.0
DNS_SD_EVERY_S = 60.0
EPOCH_S = 12 * 3600.0
EPOCH_CROWDED_S = 120.0
"""An epoch while more contacts need a tag of their own than an announcement has."""
ANNOUNCE_MIN_S = 60.0
ANNOUNCE_MAX_S = 900.0

# -- invites
INVITE_CHARACTERS = 120
INVITE_VALID_S = 600.0
INVITE_VALID_MAX_S = 7 * 86400.0
INVITE_ENDED_KEPT_S = 86400.0
INVITE_REPEAT_S = 90 * 86400.0
"""For so long who used an invite may come with it again: our answer may have been lost."""
GATE_RETIRED_S = 90 * 86400.0
"""A pair's gate key that a newer one has replaced opens for so long."""

# -- nearby
NICK_BYTES = 64
VISIBLE_S = 600.0
VISIBLE_MAX_S = 86400.0
VISIBLE_FAILURES = 3
"""Attempts that came to nothing, after which a node is visible no more."""
VISIBLE_REMEMBERED = 256
"""Visible nodes that are remembered."""
REQUESTS = 16
"""Requests that wait for an answer; a further one takes the place of the oldest."""

# -- storage
DISK_WARN_BYTES = 200_000_000
DISK_REFUSE_OTHERS_BYTES = 50_000_000
"""Below this nothing of other people's is taken on, so that nobody else's messages keep me from writing my own."""
DISK_REFUSE_BYTES = 20_000_000
KEY_KEPT_S = 7 * 86400.0
JOBS_WAITING = 10_000

FEED_KEPT_S = 30 * 86400.0
"""What changed is kept for `watch --since` for so long, but never less than FEED_LEAST changes nor more than FEED_MOST."""
FEED_LEAST = 10_000
FEED_MOST = 500_000
"""About 20 MB: a link that comes and goes makes two changes a time of each message that waits."""

# -- notices
NOTICES_AT_ONCE = 3
NOTICES_WAITING = 16
NOTICES_BURST = 10
"""Messages of which the program is told in a row; after that NOTICES_PER_S."""
NOTICES_PER_S = 1.0
NOTICE_S = 10.0
"""How long the program may take."""
NOTICE_CHARACTERS = 240

# -- local API
RPC_LINE_BYTES = 1 << 20
RPC_LIST = 1000
WATCH_QUEUE = 1000
RPC_CLIENTS = 128
"""Connections served at once; more wait in the backlog."""
RPC_REQUESTS = 64
"""Requests of one connection at once; then nothing more is read from it."""
RPC_BACKLOG = 1024

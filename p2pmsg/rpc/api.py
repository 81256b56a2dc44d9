"""The local API: one typed method per use case, by the name of its command with a dot.

Params are checked here, once, and refused where they hold more than is named; results are the objects of the CLI contract as plain
dicts and lists. Knows nothing of sockets nor of how a method is done.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from p2pmsg.config import limits
from p2pmsg.errors import UsageError

Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Count = Annotated[int, Meta(ge=1, le=limits.RPC_LIST)]
Skip = Annotated[int, Meta(ge=0)]
"""How many of the first to leave out: for lists longer than an answer, whose next part it brings."""
Wait = Literal["sent", "delivered", "read"]


class Params(Struct, forbid_unknown_fields=True):
    """Params of a method: all that it may be given, nothing else."""


class RpcHello(Params):
    """Says which version the client is; answered with version, protocol and profile whatever it says."""

    version: str


class Whoami(Params):
    """Who I am on this device."""


class ProfileSet(Params):
    """Change what others see of me."""

    name: str | None = None


class Status(Params):
    """How the daemon fares."""


class DaemonStop(Params):
    """End the daemon. Answers with the status of one that does not run; the connection ends then, and the process soon after."""


class DaemonLogs(Params):
    """The last lines of the daemon's log, each {"line"}."""

    n: Count = 50


class ConfigList(Params):
    """All settings."""


class ConfigGet(Params):
    """One setting."""

    key: str


class ConfigSet(Params):
    """Change a setting: its value as `config.get` answers it, or as it is typed."""

    key: str
    value: str | bool | int | list[str]


class ConfigUnset(Params):
    """Let a setting's default hold again."""

    key: str


class ConfigPath(Params):
    """Where the settings file is."""


class VaultUnlock(Params):
    """Open the vault; where a passphrase is needed, asks {"type":"passphrase","which":"current"}. Answers {"vault","vault_mode"}."""


class VaultLock(Params):
    """Forget the key until the vault is unlocked: all links end, and only what says so is answered."""


class VaultPassphraseSet(Params):
    """Protect the key by a passphrase: asks for it ("which":"new"). The database is encrypted anew meanwhile."""


class VaultPassphraseChange(Params):
    """Replace the passphrase: asks for the current one, then for the new one."""


class VaultPassphraseRemove(Params):
    """Need no passphrase any more: asks for the current one."""


class Doctor(Params):
    """What the daemon alone can tell of `doctor`'s rows; takes seconds. `with` names a contact, who is asked what it hears of me."""

    who: str | None = field(default=None, name="with")


class ContactInvite(Params):
    """Make a single-use invite."""

    valid_s: Seconds = limits.INVITE_VALID_S


class ContactInvites(Params):
    """The invites that can still be used."""


class ContactUninvite(Params):
    """Withdraw an invite."""

    id: str


class ContactAdd(Params):
    """Become a contact of who made the invite, or of somebody nearby, by nickname or id: then asks {"type":"sas"}.

    One of the three is given. Answers when both sides have stored it. `timeout_s` is 30 with an invite, else 120.
    """

    invite: str | None = None
    nickname: str | None = None
    id: str | None = None
    name: str | None = None
    timeout_s: Seconds | None = None


class VisibleOn(Params):
    """Show my nickname to everybody nearby for a while."""

    for_s: Seconds = limits.VISIBLE_S


class VisibleOff(Params):
    """Hide from strangers again."""


class ContactNearby(Params):
    """Who is visible."""

    timeout_s: Seconds = 5.0


class ContactFind(Params):
    """Look for a contact at every address of the own /24, once; answers when there is a link, at once where there is one already."""

    name: str


class ContactRequests(Params):
    """What strangers have asked."""


class ContactAccept(Params):
    """Compare with who asked: asks {"type":"sas"}; answers when both sides have stored the contact."""

    id: str


class ContactDecline(Params):
    """Send a request away."""

    id: str


class ContactList(Params):
    """All contacts, by name."""

    skip: Skip = 0


class ContactShow(Params):
    """One contact. With `yes` its new device was looked at: what waited is sent."""

    name: str
    yes: bool = False


class ContactVerify(Params):
    """Compare with a contact: asks {"type":"sas"} as `contact.add` does; answers with the contact when both have said yes.

    With `number` true answers {"number"}; with a number as the other one has read it, compares it.
    """

    name: str
    number: bool | str | None = None


class ContactRename(Params):
    """Give a contact a local name."""

    name: str
    new: str


class ContactBlock(Params):
    """Fall silent to a contact: his links end without a word, and nothing of his comes in. Nobody tells him."""

    name: str


class ContactUnblock(Params):
    """Take that back; to talk again both become contacts again, by an invite or nearby."""

    name: str


class ContactRemove(Params):
    """Remove a contact, and what was said if `history`."""

    name: str
    history: bool = False


class Peers(Params):
    """Devices of contacts and of mine, and how they are reached."""

    skip: Skip = 0


class Send(Params):
    """Store a message and hand it on; answers with the message as it stands, also when `timeout_s` ended before what `wait` names."""

    target: str
    text: str
    wait: Wait | None = None
    timeout_s: Seconds = 30.0
    key: str | None = None


class Inbox(Params):
    """Conversations with something unread, or all."""

    all: bool = False
    skip: Skip = 0


class History(Params):
    """Messages of a conversation, oldest first."""

    target: str
    n: Count = 50
    before: str | None = None
    after: str | None = None
    since: str | None = None
    """RFC 3339."""


class Read(Params):
    """The unread messages of a conversation, at most limits.RPC_LIST of them, oldest first, marked read."""

    target: str


class Delete(Params):
    """Delete a message, or all that was said in a conversation, on all my devices.

    Asks {"type":"confirm","name"}, and is answered "yes", where a message of mine is still to be delivered.
    """

    id: str | None = None
    within: str | None = field(default=None, name="in")


class Watch(Params):
    """Answers {"cursor"}, then notifies `watch.event`; ends after `n` events if given.

    With `typing` also of who types: {"type":"typing","typing":{"account","name","for_s"}}, told again while he goes on and stored
    nowhere. It counts for `for_s` seconds, until a message of his comes; 0 says that it counts no more.
    """

    since: str | int | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    within: str | None = field(default=None, name="in")
    """A target; the param is called `in`."""
    typing: bool = False


class ChatTyping(Params):
    """My user types to somebody, who is told at most every 3 s, where the setting `typing` is on.

    Answers {"told"}: how many devices were told now.
    """

    target: str


METHODS: dict[str, type[Params]] = {
    "rpc.hello": RpcHello,
    "whoami": Whoami,
    "profile.set": ProfileSet,
    "status": Status,
    "daemon.status": Status,
    "daemon.stop": DaemonStop,
    "daemon.logs": DaemonLogs,
    "config.list": ConfigList,
    "config.get": ConfigGet,
    "config.set": ConfigSet,
    "config.unset": ConfigUnset,
    "config.path": ConfigPath,
    "vault.unlock": VaultUnlock,
    "vault.lock": VaultLock,
    "vault.passphrase.set": VaultPassphraseSet,
    "vault.passphrase.change": VaultPassphraseChange,
    "vault.passphrase.remove": VaultPassphraseRemove,
    "doctor": Doctor,
    "visible.on": VisibleOn,
    "visible.off": VisibleOff,
    "contact.invite": ContactInvite,
    "contact.invites": ContactInvites,
    "contact.uninvite": ContactUninvite,
    "contact.add": ContactAdd,
    "contact.nearby": ContactNearby,
    "contact.find": ContactFind,
    "contact.requests": ContactRequests,
    "contact.accept": ContactAccept,
    "contact.decline": ContactDecline,
    "contact.list": ContactList,
    "contact.show": ContactShow,
    "contact.verify": ContactVerify,
    "contact.rename": ContactRename,
    "contact.block": ContactBlock,
    "contact.unblock": ContactUnblock,
    "contact.remove": ContactRemove,
    "peers": Peers,
    "send": Send,
    "inbox": Inbox,
    "history": History,
    "read": Read,
    "delete": Delete,
    "watch": Watch,
    "chat.typing": ChatTyping,
}

ELSEWHERE: dict[str, str] = {
    "init": "a daemon needs a profile that exists: p2pmsg init",
    "daemon.start": "whoever hears this runs already: p2pmsg daemon start",
    "daemon.restart": "a process does not outlive itself: daemon.stop, then p2pmsg daemon start",
    "daemon.run": "it is the daemon: p2pmsg daemon run",
    "daemon.install": "it is about systemd, not about the daemon: p2pmsg daemon install",
    "daemon.uninstall": "it is about systemd, not about the daemon: p2pmsg daemon uninstall",
    "wipe": "what destroys the profile is no daemon of it: p2pmsg wipe -y",
    "demo": "it makes people and daemons of its own: p2pmsg demo",
    "completion": "it is about the shell: p2pmsg completion",
    "chat": "it is made of others: read, send and watch",
}
"""Commands that are no methods, and why or what to use."""


def params_of(method: str) -> type[Params]:
    """Return what a method's params are. Raises: UsageError, whose candidates are the methods of nearly that name."""
    if method in ELSEWHERE:
        raise UsageError(f"{method} is no method: {ELSEWHERE[method]}.", hint=ELSEWHERE[method].rpartition(": ")[2])
    kind = METHODS.get(method)
    if kind is None:
        near = get_close_matches(method[:80].lower().replace(" ", "."), METHODS, n=3, cutoff=0.5)
        mean = f" Did you mean {near[0]}?" if near else ""
        hint = "A method is a command with a dot: contact list is contact.list."
        raise UsageError(f"There is no method {method[:80]!r}.{mean}", hint=hint, candidates=near)
    return kind

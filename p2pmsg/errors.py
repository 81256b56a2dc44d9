"""One tree of errors; a class's docstring is the advice the user reads, `str()` says what happened.

    P2pmsgError                      1  internal
    ├── UsageError                   2  usage
    │   ├── InvalidName, EmptyText, TextTooLong, InvalidText, InviteMalformed, ConfirmationNeeded, InvalidValue
    ├── NoDaemon                     3
    │   ├── NotInitialized, DaemonNotRunning, DaemonOtherVersion
    ├── NotFound                     4
    │   ├── ContactNotFound, MessageNotFound, InviteNotFound, RequestNotFound, FileNotFound,
    │   │   ConversationNotFound, KeyNotFound
    ├── Ambiguous                    5
    ├── NotTrusted                   6
    │   ├── IdentityChanged, DeviceNeedsLook, SasMismatch
    ├── TimedOut                     7
    ├── Refused                      8
    │   ├── AlreadyInitialized, AlreadyRunning, FileExists, InviteExpired, InviteUsed, InviteWithdrawn,
    │   │   InviteRefused, InviteOwn, NameTaken, StorageFull, StorageFailed,
    │   │   StorageBusy, StorageDamaged, DatabaseNewer, CursorTooOld, NotPermitted, HomeUnusable,
    │   │   SettingsInvalid, ServiceUnavailable, ServiceFailed, Blocked, VaultLocked, WrongPassphrase, KeyringUnavailable
    ├── NetworkError                 9
    │   ├── PeerUnreachable, NoNetwork, MdnsUnavailable
    └── PeerMisbehaved                  never shown: closes one link and is counted
        └── HandshakeRefused

Imports nothing of p2pmsg and nothing heavy: the CLI loads it on every call.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar


class P2pmsgError(Exception):
    """Look into the daemon's log, and report what you find there: this is our fault."""

    code: ClassVar[str] = "internal"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, candidates: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else " ".join((type(self).__doc__ or "").split())
        self.candidates = list(candidates)

    def as_json(self) -> dict[str, Any]:
        """Return the `error` object of the CLI contract."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "candidates": self.candidates}


class UsageError(P2pmsgError):
    """p2pmsg --help"""

    code = "usage"
    exit_status = 2


class InvalidName(UsageError):
    """Choose 1 to 64 characters without control characters and without ~ : / and not the word "me"."""

    code = "invalid_name"


class EmptyText(UsageError):
    """p2pmsg send NAME TEXT, or p2pmsg send NAME - to read the text from standard input."""

    code = "empty_text"


class TextTooLong(UsageError):
    """Send it in parts of at most 65,536 bytes."""

    code = "text_too_long"


class InvalidText(UsageError):
    """Send text in UTF-8 without NUL characters."""

    code = "invalid_text"


class InviteMalformed(UsageError):
    """Copy the whole invite: it starts with P2PMSG: and has no blanks."""

    code = "invite_malformed"


class ConfirmationNeeded(UsageError):
    """Say --yes where nobody can be asked."""

    code = "confirmation_needed"


class InvalidValue(UsageError):
    """p2pmsg config list shows every key with its value and default."""

    code = "invalid_value"


class NoDaemon(P2pmsgError):
    """p2pmsg daemon start"""

    code = "daemon_not_running"
    exit_status = 3


class NotInitialized(NoDaemon):
    """p2pmsg init --name YOUR-NAME"""

    code = "not_initialized"


class DaemonNotRunning(NoDaemon):
    """p2pmsg daemon start"""

    code = "daemon_not_running"


class DaemonOtherVersion(NoDaemon):
    """p2pmsg daemon restart"""

    code = "daemon_other_version"


class NotFound(P2pmsgError):
    """Look at what there is with the list command."""

    code = "not_found"
    exit_status = 4


class ContactNotFound(NotFound):
    """p2pmsg contact list"""

    code = "contact_not_found"


class MessageNotFound(NotFound):
    """p2pmsg history NAME --json shows the ids."""

    code = "message_not_found"


class ConversationNotFound(NotFound):
    """p2pmsg inbox --all"""

    code = "conversation_not_found"


class InviteNotFound(NotFound):
    """p2pmsg contact invites"""

    code = "invite_not_found"


class RequestNotFound(NotFound):
    """p2pmsg contact requests"""

    code = "request_not_found"


class FileNotFound(NotFound):
    """Check the path."""

    code = "file_not_found"


class KeyNotFound(NotFound):
    """p2pmsg config list"""

    code = "key_not_found"


class Ambiguous(P2pmsgError):
    """Say which one you mean by one of the names listed."""

    code = "ambiguous"
    exit_status = 5


class NotTrusted(P2pmsgError):
    """p2pmsg contact show NAME"""

    code = "not_trusted"
    exit_status = 6


class IdentityChanged(NotTrusted):
    """p2pmsg contact show NAME, and ask the person before you go on."""

    code = "identity_changed"


class DeviceNeedsLook(NotTrusted):
    """p2pmsg contact show NAME; if the device is his, the same with --yes."""

    code = "device_needs_look"


class SasMismatch(NotTrusted):
    """Ask the other person; if you both saw the same, try again. If not, somebody sits between you: use an invite that he cannot see."""

    code = "sas_mismatch"


class TimedOut(P2pmsgError):
    """Nothing is lost: the message waits until the other side is there. p2pmsg peers shows who is."""

    code = "timeout"
    exit_status = 7


class Refused(P2pmsgError):
    """p2pmsg status"""

    code = "not_permitted"
    exit_status = 8


class AlreadyInitialized(Refused):
    """p2pmsg whoami shows who this is; another --profile NAME makes another person."""

    code = "already_initialized"


class AlreadyRunning(Refused):
    """p2pmsg status"""

    code = "already_running"


class FileExists(Refused):
    """Choose a path where there is no file yet."""

    code = "file_exists"


class InviteExpired(Refused):
    """Ask its maker for a new one; they type: p2pmsg contact invite"""

    code = "invite_expired"


class InviteUsed(Refused):
    """Ask its maker for a new one; they type: p2pmsg contact invite"""

    code = "invite_used"


class InviteWithdrawn(Refused):
    """Ask its maker for a new one; they type: p2pmsg contact invite"""

    code = "invite_withdrawn"


class InviteRefused(Refused):
    """Ask its maker for a new one; they type: p2pmsg contact invite"""

    code = "invite_refused"


class InviteOwn(Refused):
    """Give it to somebody else; they type: p2pmsg contact add INVITE"""

    code = "invite_own"


class NameTaken(Refused):
    """Choose another name, or rename the other contact first."""

    code = "name_taken"


class StorageFull(Refused):
    """Free some space; what was accepted before is safe."""

    code = "storage_full"


class StorageFailed(Refused):
    """Look at the disk and at who may write to the folder; what was accepted before is safe."""

    code = "storage_failed"


class StorageBusy(Refused):
    """Try again in a moment: more is waiting to be stored than the disk takes."""

    code = "storage_busy"


class StorageDamaged(Refused):
    """p2pmsg daemon logs"""

    code = "storage_damaged"


class DatabaseNewer(Refused):
    """Install the newer version of p2pmsg again; the database was not touched."""

    code = "database_newer"


class HomeUnusable(Refused):
    """Set P2PMSG_HOME to a folder of your own that you can write to."""

    code = "home_unusable"


class SettingsInvalid(Refused):
    """p2pmsg config set KEY VALUE, or p2pmsg config unset KEY"""

    code = "settings_invalid"


class ServiceUnavailable(Refused):
    """p2pmsg daemon start, after each start of the machine."""

    code = "service_unavailable"


class ServiceFailed(Refused):
    """journalctl --user shows more; p2pmsg daemon start works without a service."""

    code = "service_failed"


class CursorTooOld(Refused):
    """p2pmsg watch begins with now; p2pmsg history NAME shows the messages from before."""

    code = "cursor_too_old"


class NotPermitted(Refused):
    """p2pmsg status"""

    code = "not_permitted"


class Blocked(Refused):
    """p2pmsg contact unblock NAME, and become contacts again: p2pmsg contact invite"""

    code = "blocked"


class VaultLocked(Refused):
    """p2pmsg vault unlock"""

    code = "vault_locked"


class WrongPassphrase(Refused):
    """Type it again, minding capitals and the keyboard's language. Nobody can tell you what it was."""

    code = "wrong_passphrase"


class KeyringUnavailable(Refused):
    """Log in to the desktop whose keyring holds the key, unlock it there, and try again."""

    code = "keyring_unavailable"


class NetworkError(P2pmsgError):
    """p2pmsg status"""

    code = "network"
    exit_status = 9


class PeerUnreachable(NetworkError):
    """See that both machines are on the same network and that the other daemon runs: p2pmsg status"""

    code = "peer_unreachable"


class NoNetwork(NetworkError):
    """Join a network first: p2pmsg status lists the interfaces in use."""

    code = "no_network"


class MdnsUnavailable(NetworkError):
    """See that no other program keeps UDP port 5353 to itself (avahi: disallow-other-stacks=no); the other paths work on."""

    code = "mdns_unavailable"


class PeerMisbehaved(P2pmsgError):
    """The link was closed and counted; nothing else is harmed."""

    code = "peer_misbehaved"


class HandshakeRefused(PeerMisbehaved):
    """A fault before WELCOME: answered with 0x100 at the next tick, whatever it was."""

    code = "handshake_refused"


@contextlib.contextmanager
def file_faults(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the operating system's faults inside the block into StorageFull or HomeUnusable that name the file."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else os.fspath(path)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"{where} could not be written: the disk is full.") from error
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP):
            said = f"{where} cannot be locked, which keeps two processes apart: its file system has no locks."
            raise HomeUnusable(said, hint="Set P2PMSG_HOME to a folder on a local disk.") from error
        raise HomeUnusable(f"{where} cannot be used: {error.strerror or error}.") from error

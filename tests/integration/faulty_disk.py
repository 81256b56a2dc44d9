"""A real file system (FUSE) that fails as it is told: with any error, at any call, or for want of locks, sockets and shared memory.

It passes everything on to a folder beside it. As a program it serves one mount: BACKING MOUNTPOINT RULES. Root only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import fnmatch
import json
import os
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_HEAD: Final = struct.Struct("=IIQQIIIHH")
_ANSWER: Final = struct.Struct("=IiQ")
_ATTR: Final = struct.Struct("=6Q10I")
_INIT: Final = struct.Struct("=IIIIHHIIHHI28x")
_IO: Final = struct.Struct("=QQIIQII")
_SETATTR: Final = struct.Struct("=IIQQQQQQIIIIIIII")
_WRITE_BYTES: Final = 1 << 17
_POSIX_LOCKS, _ATOMIC_TRUNC, _BIG_WRITES, _FLOCK_LOCKS = 1 << 1, 1 << 3, 1 << 5, 1 << 10
_DIRECT_IO: Final = 1
_LK_FLOCK: Final = 1
_FORGET, _BATCH_FORGET, _INTERRUPT = 2, 42, 36


@dataclass
class Rule:
    """Calls of one kind on files of a name fail: not the first `after` of them, and then `count` (0: all that follow)."""

    call: str
    error: str
    name: str = "*"
    after: int = 0
    count: int = 0
    seen: int = field(default=0, compare=False)

    def hits(self, call: str, path: str) -> bool:
        if call != self.call or not fnmatch.fnmatch(path.rpartition("/")[2], self.name):
            return False
        self.seen += 1
        return self.seen > self.after and (not self.count or self.seen <= self.after + self.count)


@dataclass
class Node:
    """What the kernel knows by a number."""

    path: str | None
    open_files: list[int] = field(default_factory=list)


class FaultyDisk:
    """The test's hand at a mounted file system; `break_` and `mend` hold for every call that begins after them."""

    def __init__(self, rules: Path) -> None:
        self._rules = rules

    def break_(self, *rules: Rule) -> None:
        new = self._rules.with_suffix(".new")
        new.write_text(json.dumps([{"call": r.call, "error": r.error, "name": r.name, "after": r.after, "count": r.count} for r in rules]))
        new.replace(self._rules)

    def mend(self) -> None:
        self.break_()


@contextlib.contextmanager
def faulty_disk(mountpoint: Path, *features: str) -> Iterator[FaultyDisk]:
    """Mount one at an empty folder. `features`: "no-mmap" (no shared memory), "locks" (locks are asked for, so they can fail), "silly"
    (a file that is deleted or replaced while it is open stays under another name until it is closed, as on NFS).
    """
    backing, rules = (mountpoint.with_name(f"{mountpoint.name}.{what}") for what in ("backing", "rules"))
    backing.mkdir()
    disk = FaultyDisk(rules)
    disk.mend()
    argv = [sys.executable, "-I", __file__, str(backing), str(mountpoint), str(rules), *features]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None and server.stdout.readline() == b"mounted\n"
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(mountpoint)], check=False)
        server.send_signal(signal.SIGKILL)
        server.communicate()


def why_not() -> str | None:
    """Return why no such file system can be made here; None where it can."""
    if os.geteuid() != 0:
        return "only root can mount a file system: sudo -E scripts/test"
    return None if Path("/dev/fuse").exists() else "the kernel has no FUSE: modprobe fuse"


# -- the program


class Server:
    """Answers the kernel's calls one by one (include/uapi/linux/fuse.h)."""

    def __init__(self, backing: str, device: int, rules: str, features: list[str]) -> None:
        self._backing, self._device, self._file, self._features = Path(backing), device, Path(rules), features
        self._nodes = {1: Node("")}
        self._numbers = {"": 1}
        self._rules: list[Rule] = []
        self._stamp: object = None
        self._owners: dict[int, Node] = {}
        self._hidden: dict[int, str] = {}
        self._calls: dict[int, tuple[str, Callable[[Node, bytes], bytes]]] = {
            1: ("lookup", self._lookup),
            3: ("getattr", self._getattr),
            4: ("setattr", self._setattr),
            8: ("mknod", self._mknod),
            9: ("mkdir", self._mkdir),
            10: ("unlink", self._unlink),
            11: ("rmdir", self._rmdir),
            12: ("rename", self._rename),
            14: ("open", self._open),
            15: ("read", self._read),
            16: ("write", self._write),
            17: ("statfs", self._statfs),
            18: ("release", self._release),
            20: ("fsync", self._fsync),
            25: ("flush", self._nothing),
            26: ("init", self._init),
            27: ("opendir", lambda node, body: bytes(16)),
            28: ("readdir", self._readdir),
            29: ("releasedir", self._nothing),
            30: ("fsyncdir", self._nothing),
            31: ("lock", lambda node, body: struct.pack("=QQII", 0, 0, fcntl.F_UNLCK, 0)),
            32: ("lock", self._nothing),
            33: ("lock", self._nothing),
            35: ("create", self._create),
            45: ("rename", self._rename2),
        }

    def serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, _WRITE_BYTES + (1 << 13))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                    continue
                return  # unmounted
            _, opcode, unique, number, *_ = _HEAD.unpack_from(request)
            if opcode in (_FORGET, _BATCH_FORGET, _INTERRUPT):
                continue
            fault, answer = self._answer(opcode, number, request[_HEAD.size :])
            with contextlib.suppress(OSError):  # who asked has been killed
                os.write(self._device, _ANSWER.pack(_ANSWER.size + len(answer), -fault, unique) + answer)

    def _answer(self, opcode: int, number: int, body: bytes) -> tuple[int, bytes]:
        if opcode not in self._calls:
            return errno.ENOSYS, b""
        call, perform = self._calls[opcode]
        node = self._nodes.get(number, self._nodes[1])
        if call == "lock" and struct.unpack_from("=I", body, 40)[0] & _LK_FLOCK:
            call = "flock"
        if (fault := self._fault(call, self._named(call, node, body))) is not None:
            return fault, b""
        try:
            return 0, perform(node, body)
        except OSError as error:
            return error.errno or errno.EIO, b""

    def _fault(self, call: str, path: str) -> int | None:
        status = self._file.stat()
        if (stamp := (status.st_ino, status.st_mtime_ns)) != self._stamp:
            self._rules = [Rule(**each) for each in json.loads(self._file.read_text())]
            self._stamp = stamp
        hit = [rule for rule in self._rules if rule.hits(call, path)]
        return getattr(errno, hit[0].error) if hit else None

    def _named(self, call: str, node: Node, body: bytes) -> str:
        """Return the path that a call is about: for those that name a file in a folder, the file's."""
        skipped = {"mknod": 16, "mkdir": 8, "unlink": 0, "rmdir": 0, "create": 16, "lookup": 0}.get(call)
        return node.path or "" if skipped is None else body[skipped:].split(b"\0")[0].decode()

    # -- names and numbers

    def _at(self, path: str) -> Path:
        return self._backing / path

    def _child(self, node: Node, name: bytes) -> str:
        return f"{node.path}/{name.decode()}" if node.path else name.decode()

    def _number(self, path: str) -> int:
        if path not in self._numbers:
            self._numbers[path] = max(self._nodes) + 1
            self._nodes[self._numbers[path]] = Node(path)
        return self._numbers[path]

    def _entry(self, path: str) -> bytes:
        attributes = self._attributes(os.lstat(self._at(path)))
        return struct.pack("=QQQQII", self._number(path), 0, 0, 0, 0, 0) + attributes

    def _attributes(self, s: os.stat_result) -> bytes:
        whole = [t // 10**9 for t in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns)]
        parts = [t % 10**9 for t in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns)]
        return _ATTR.pack(s.st_ino, s.st_size, s.st_blocks, *whole, *parts, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, 0, 4096, 0)

    def _status(self, node: Node) -> os.stat_result:
        return os.fstat(node.open_files[0]) if node.path is None else os.lstat(self._at(node.path))

    def _gone(self, path: str) -> None:
        number = self._numbers.pop(path, None)
        if number is not None:
            self._nodes[number].path = None

    # -- calls

    def _nothing(self, node: Node, body: bytes) -> bytes:
        return b""

    def _init(self, node: Node, body: bytes) -> bytes:
        wanted = _ATOMIC_TRUNC | _BIG_WRITES | (_POSIX_LOCKS | _FLOCK_LOCKS if "locks" in self._features else 0)
        return _INIT.pack(7, 31, 1 << 16, wanted, 12, 9, _WRITE_BYTES, 1, 32, 0, 0)

    def _lookup(self, node: Node, body: bytes) -> bytes:
        return self._entry(self._child(node, body.rstrip(b"\0")))

    def _getattr(self, node: Node, body: bytes) -> bytes:
        return struct.pack("=QII", 0, 0, 0) + self._attributes(self._status(node))

    def _setattr(self, node: Node, body: bytes) -> bytes:
        valid, _, _, size, *_, mode, _, uid, gid, _ = _SETATTR.unpack_from(body)
        where: Any = node.open_files[0] if node.path is None else self._at(node.path)
        if valid & 1 and node.path is not None:
            self._at(node.path).chmod(stat.S_IMODE(mode))
        if valid & 6:
            os.chown(where, uid if valid & 2 else -1, gid if valid & 4 else -1)
        if valid & 8:
            os.truncate(where, size)
        return self._getattr(node, body)

    def _mknod(self, node: Node, body: bytes) -> bytes:
        mode, device = struct.unpack_from("=II", body)
        path = self._child(node, body[16:].rstrip(b"\0"))
        os.mknod(self._at(path), mode, device)
        return self._entry(path)

    def _mkdir(self, node: Node, body: bytes) -> bytes:
        path = self._child(node, body[8:].rstrip(b"\0"))
        self._at(path).mkdir(stat.S_IMODE(struct.unpack_from("=I", body)[0]))
        return self._entry(path)

    def _unlink(self, node: Node, body: bytes) -> bytes:
        path = self._child(node, body.rstrip(b"\0"))
        if not self._hide(path):
            self._at(path).unlink()
            self._gone(path)
        return b""

    def _hide(self, path: str) -> bool:
        """Keep a file that is open under another name until it is closed, as NFS does."""
        number = self._numbers.get(path)
        if "silly" not in self._features or number is None or not self._nodes[number].open_files:
            return False
        hidden = str(Path(path).with_name(f".nfs{number:016x}"))
        self._at(path).rename(self._at(hidden))
        self._moved(path, hidden)
        self._hidden[number] = hidden
        return True

    def _rmdir(self, node: Node, body: bytes) -> bytes:
        path = self._child(node, body.rstrip(b"\0"))
        self._at(path).rmdir()
        self._gone(path)
        return b""

    def _rename(self, node: Node, body: bytes, skipped: int = 8) -> bytes:
        old, new, _ = body[skipped:].split(b"\0")
        source = self._child(node, old)
        target = self._child(self._nodes[struct.unpack_from("=Q", body)[0]], new)
        self._hide(target)
        self._at(source).rename(self._at(target))
        self._moved(source, target)
        return b""

    def _rename2(self, node: Node, body: bytes) -> bytes:
        if struct.unpack_from("=I", body, 8)[0]:
            raise OSError(errno.EINVAL, "no flags")
        return self._rename(node, body, 16)

    def _moved(self, source: str, target: str) -> None:
        self._gone(target)
        for path, number in list(self._numbers.items()):
            if path == source or path.startswith(source + "/"):
                self._nodes[number].path = target + path[len(source) :]
                self._numbers[target + path[len(source) :]] = self._numbers.pop(path)

    def _opened(self, node: Node, flags: int, mode: int = 0) -> bytes:
        assert node.path is not None
        wanted = (flags & (os.O_TRUNC | os.O_EXCL | os.O_CREAT)) | (os.O_RDWR if flags & os.O_ACCMODE else os.O_RDONLY)
        descriptor = os.open(self._at(node.path), wanted | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        node.open_files.append(descriptor)
        self._owners[descriptor] = node
        return struct.pack("=QIi", descriptor, _DIRECT_IO if "no-mmap" in self._features else 0, 0)

    def _open(self, node: Node, body: bytes) -> bytes:
        return self._opened(node, struct.unpack_from("=I", body)[0] & ~os.O_CREAT & ~os.O_EXCL)

    def _create(self, node: Node, body: bytes) -> bytes:
        flags, mode = struct.unpack_from("=II", body)
        path = self._child(node, body[16:].rstrip(b"\0"))
        known = path in self._numbers
        number = self._number(path)
        try:
            opened = self._opened(self._nodes[number], flags | os.O_CREAT, stat.S_IMODE(mode))
        except OSError:
            if not known:
                self._gone(path)
            raise
        return self._entry(path) + opened

    def _release(self, node: Node, body: bytes) -> bytes:
        descriptor = struct.unpack_from("=Q", body)[0]
        owner = self._owners.pop(descriptor)
        owner.open_files.remove(descriptor)
        os.close(descriptor)
        if not owner.open_files:
            for number, hidden in list(self._hidden.items()):
                if self._nodes[number] is owner:
                    self._at(hidden).unlink()
                    self._gone(hidden)
                    del self._hidden[number]
        return b""

    def _read(self, node: Node, body: bytes) -> bytes:
        descriptor, offset, size, *_ = _IO.unpack_from(body)
        return os.pread(descriptor, size, offset)

    def _write(self, node: Node, body: bytes) -> bytes:
        descriptor, offset, size, *_ = _IO.unpack_from(body)
        return struct.pack("=II", os.pwrite(descriptor, body[_IO.size : _IO.size + size], offset), 0)

    def _fsync(self, node: Node, body: bytes) -> bytes:
        os.fsync(struct.unpack_from("=Q", body)[0])
        return b""

    def _statfs(self, node: Node, body: bytes) -> bytes:
        s = os.statvfs(self._backing)
        return struct.pack("=5Q4I24x", s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree, s.f_bsize, 255, s.f_frsize, 0)

    def _readdir(self, node: Node, body: bytes) -> bytes:
        _, offset, size, *_ = _IO.unpack_from(body)
        found = b""
        for at, path in enumerate(sorted(self._at(node.path or "").iterdir())[offset:], offset + 1):
            encoded = path.name.encode()
            one = struct.pack("=QQII", at, at, len(encoded), 0) + encoded
            one += bytes(-len(one) % 8)
            if len(found) + len(one) > size:
                break
            found += one
        return found


def main(backing: str, mountpoint: str, rules: str, *features: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions".encode()
    if ctypes.CDLL(None, use_errno=True).mount(b"p2pmsg-faulty", os.fsencode(mountpoint), b"fuse", 6, options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), mountpoint)
    os.umask(0)
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    Server(backing, device, rules, list(features)).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])

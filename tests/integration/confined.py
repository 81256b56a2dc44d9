"""Runs a program as its systemd unit would have it run, without systemd: python -m tests.integration.confined UNIT

What the unit takes away is taken away by the kernel's own means, system calls by libseccomp, which systemd uses too. A line that is
not understood ends it: nothing of a unit is passed over. Where files are to be hidden, it refuses.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NE, GE, EQ, MASKED_EQ = 1, 5, 4, 7
NAMESPACES = (0x00000080, 0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
SUID, SGID = 0o4000, 0o2000
OF_THE_MANAGER = ("Type", "Restart", "RestartSec", "RestartPreventExitStatus", "TimeoutStopSec")
"""What only systemd itself can do."""


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


@functools.cache
def _seccomp() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
    return library


class Filter:
    """A filter of system calls: what no rule names fares as `otherwise` says. It holds from `load` on, also for what is executed."""

    def __init__(self, otherwise: int) -> None:
        self._context = _seccomp().seccomp_init(otherwise)

    def rule(self, action: int, call: str, *comparisons: tuple[int, int, int, int]) -> None:
        """Say how a call fares whose arguments compare as said, all of them; a call that this machine does not have is passed over."""
        number = _seccomp().seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array = (_Comparison * len(comparisons))(*(_Comparison(*each) for each in comparisons))
        _good(_seccomp().seccomp_rule_add_array(self._context, action, number, len(comparisons), array), call)

    def load(self) -> None:
        _good(_seccomp().seccomp_load(self._context), "seccomp_load")


def _good(result: int, what: str) -> None:
    if result < 0:
        raise OSError(-result, f"{what}: {os.strerror(-result)}")


def _calls(group: str) -> Iterator[str]:
    """Yield the names of the system calls of a group of systemd's, and of the groups in it."""
    said = subprocess.run(["systemd-analyze", "syscall-filter", group], check=True, capture_output=True, text=True).stdout
    for line in said.splitlines()[1:]:
        name = line.strip()
        if name.startswith("@"):
            yield from _calls(name)
        elif name and not name.startswith("#"):
            yield name


def _address_families(value: str) -> Filter:
    made = Filter(ALLOW)
    allowed = {int(getattr(socket, name)) for name in value.split()}
    for family in range(64):
        if family not in allowed:
            made.rule(ERRNO | errno.EAFNOSUPPORT, "socket", (0, EQ, family, 0))
    made.rule(ERRNO | errno.EAFNOSUPPORT, "socket", (0, GE, 64, 0))
    return made


def _no_namespaces() -> Filter:
    made = Filter(ALLOW)
    made.rule(ERRNO | errno.ENOSYS, "clone3")  # its flags lie in memory, where no filter sees them
    made.rule(ERRNO | errno.EPERM, "setns")
    for flag in NAMESPACES:
        for call in ("clone", "unshare"):
            made.rule(ERRNO | errno.EPERM, call, (0, MASKED_EQ, flag, flag))
    return made


def _no_suid() -> Filter:
    made = Filter(ALLOW)
    made.rule(ERRNO | errno.ENOSYS, "openat2")
    for bit in (SUID, SGID):
        for call, place in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2), ("mknod", 1), ("mknodat", 2)):
            made.rule(ERRNO | errno.EPERM, call, (place, MASKED_EQ, bit, bit))
    return made


def _no_realtime() -> Filter:
    made = Filter(ALLOW)
    for policy in (1, 2, 6):
        made.rule(ERRNO | errno.EPERM, "sched_setscheduler", (1, EQ, policy, 0))
    return made


def _locked_personality() -> Filter:
    made = Filter(ALLOW)
    made.rule(ERRNO | errno.EPERM, "personality", (0, NE, 0, 0))
    return made


def _only(value: str) -> Filter:
    made = Filter(ERRNO | errno.EPERM)
    for name in {name for group in (*value.split(), "@default") for name in _calls(group)}:
        made.rule(ALLOW, name)
    return made


FILTERS: dict[str, Callable[[str], Filter | None]] = {
    "NoNewPrivileges": lambda _: None,  # loading a filter does it
    "SystemCallArchitectures": lambda _: None,  # a filter is of the native one, and kills others
    "SystemCallErrorNumber": lambda _: None,  # EPERM it is
    "LockPersonality": lambda _: _locked_personality(),
    "RestrictRealtime": lambda _: _no_realtime(),
    "RestrictSUIDSGID": lambda _: _no_suid(),
    "RestrictNamespaces": lambda _: _no_namespaces(),
    "RestrictAddressFamilies": _address_families,
    "SystemCallFilter": _only,
}


def service(unit: str) -> list[tuple[str, str]]:
    """Return the settings of the section of that name, in order."""
    section = unit.partition("[Service]\n")[2].partition("\n[")[0]
    return [(line.partition("=")[0], line.partition("=")[2]) for line in section.splitlines() if line]


def words(value: str) -> list[str]:
    """Return what systemd makes of quoted words: systemd.syntax(7), systemd.service(5)."""
    assert re.fullmatch(r'("([^"\\]|\\.)*" ?)+', value), value
    found = [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r'"((?:[^"\\]|\\.)*)"', value)]
    assert not any(re.search(r"(?<!%)%(%%)*(?!%)", word) for word in found), value
    return [word.replace("%%", "%") for word in found]


def main(unit: Path) -> None:
    """Become the program of the unit."""
    command: list[str] = []
    filters: list[Filter | None] = []
    for name, value in service(unit.read_text(encoding="utf-8")):
        if name == "ExecStart":
            command = [word.replace("$$", "$") for word in words(value)]
        elif name == "Environment":
            os.environ.update(word.split("=", 1) for word in words(value))
        elif name == "UMask":
            os.umask(int(value, 8))
        elif name in FILTERS:
            filters.append(FILTERS[name](value))
        elif name not in OF_THE_MANAGER:
            raise SystemExit(f"confined: no idea what {name}={value} does")
    for each in filters:  # the last of them allows no more filters
        if each is not None:
            each.load()
    os.execv(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

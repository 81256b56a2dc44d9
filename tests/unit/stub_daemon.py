"""Stands for the daemon in tests of `process`: takes the lock, reports, and answers `rpc.hello` and `status` until SIGTERM.

P2PMSG_STUB says how it misbehaves: `die` before it reports, `refuse` with an error, `garble` the report, `deaf` to SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from p2pmsg import __version__
from p2pmsg.daemon import home, lock, process
from p2pmsg.errors import P2pmsgError, SettingsInvalid


def main() -> None:
    mode = os.environ.get("P2PMSG_STUB", "")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else lambda *_: sys.exit(0))
    os.write(sys.stdout.fileno(), b"stub begins\n")
    if mode == "die":
        sys.exit(3)
    if mode == "garble":
        os.write(int(os.environ[process.READY_FD]), b"what?\n")
        sys.exit(0)
    try:
        if mode == "refuse":
            raise SettingsInvalid("line 3 is bad", hint="mend it")
        serve(home.locate())
    except P2pmsgError as error:
        process.report_ready(error=error)
        sys.exit(error.exit_status)


def serve(profile: home.Profile) -> None:
    with lock.Lock.acquire(profile) as held:
        path = home.socket_path(profile)
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(8)
            held.publish(socket=path, version=__version__, protocol=1, started_at="")
            process.report_ready()
            while True:
                answer_one(listener)


def answer_one(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer, peer.makefile("rwb") as stream:
        for line in stream:
            asked = json.loads(line)
            result = {"version": __version__, "protocol": 1, "profile": "default"}
            if asked["method"] == "status":
                result = {"running": True, "pid": os.getpid(), "files": open_files(), "session": os.getsid(0), "cwd": str(Path.cwd())}
            stream.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode() + b"\n")
            stream.flush()


def open_files() -> list[str]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:
            continue
    return found


main()

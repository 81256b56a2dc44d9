"""A real avahi-daemon beside ours in a node, on a message bus of its own: nothing of the machine's is used or touched.

`ip netns exec` gives every program mounts of its own: a /run of its own therefore goes with the program.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lan.lan import Lan, end

PACKAGES = {"avahi-daemon": "avahi-daemon", "avahi-browse": "avahi-utils", "dbus-daemon": "dbus"}
START_TIMEOUT_S = 10
_OWN_RUN = ["sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh"]
_BUS = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_destination="*"/> <allow receive_sender="*"/>
  </policy>
</busconfig>
"""
_DAEMON = """
[server]
host-name={name}
use-ipv4=yes
use-ipv6=yes
disallow-other-stacks={alone}
ratelimit-interval-usec=1000000
ratelimit-burst=1000
[publish]
publish-workstation=no
"""


@dataclass(frozen=True)
class Avahi:
    """One that runs."""

    lan: Lan
    node: int
    process: subprocess.Popen[str]
    _bus: str

    def browse(self, service: str) -> list[list[str]]:
        """Return what avahi-browse resolves of a service: a list of fields for each instance, interface and family."""
        found = self.lan.run(self.node, ["env", f"DBUS_SYSTEM_BUS_ADDRESS={self._bus}", "avahi-browse", "-rpt", service])
        assert found.returncode == 0, found.stderr
        return [line.split(";") for line in found.stdout.splitlines() if line.startswith("=")]


@contextlib.contextmanager
def avahi(lan: Lan, node: int, *, alone: bool = False) -> Iterator[Avahi]:
    """Run an avahi-daemon in a node; `alone`: it lets no other program have port 5353."""
    with tempfile.TemporaryDirectory(prefix="p2p-") as name, contextlib.ExitStack() as running:
        folder = Path(name)
        bus = f"unix:path={folder / 'bus'}"
        (folder / "bus.conf").write_text(_BUS.format(socket=folder / "bus"))
        config = folder / "avahi.conf"
        config.write_text(_DAEMON.format(name=f"machine{node}", alone="yes" if alone else "no"))
        talking = lan.popen(node, ["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={folder / 'bus.conf'}", "--print-address"])
        running.callback(end, talking)
        assert talking.stdout is not None and talking.stdout.readline(), "no message bus"
        words = ["avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits", "-f", str(config)]
        process = lan.popen(node, [*_OWN_RUN, "env", f"DBUS_SYSTEM_BUS_ADDRESS={bus}", *words], stderr=subprocess.PIPE)
        running.callback(end, process)
        _await_start(process)
        yield Avahi(lan, node, process, bus)


def _await_start(process: subprocess.Popen[str]) -> None:
    """Read what it says until it is up; it says little afterwards, far less than a pipe holds."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "Server startup complete" in line:
            return
    raise AssertionError(f"avahi-daemon does not run: {''.join(said)}")

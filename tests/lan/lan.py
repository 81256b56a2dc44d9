"""A LAN in a box: network namespaces on a Linux bridge, for tests that need real sockets and real trouble.

    with Lan(3) as lan:
        process = lan.popen(1, [sys.executable, "-m", "p2pmsg", ...])
        lan.split([1], [2, 3]); lan.heal(); lan.loss(2, 10)

Node i is the namespace PREFIX+i with its own lo and with eth0 = 10.77.0.i/24 and an IPv6 link-local address; with more
segments eth1 = 10.77.1.i/24 and so on. The bridges br0, br1, … and the ports p0-1, … to the nodes' interfaces stand in
PREFIX+hub. Nothing is added to the machine's own namespace, so nothing that happens here reaches a real network.

Loss, partitions and filters are nftables rules in the hub. Delay, jitter, duplication, reordering and a rate come from
wire.py (`wire=True`), since many kernels, those of CI machines among them, have no sch_netem. Needs root, iproute2, nftables.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

REPOSITORY = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 10


@dataclass
class Rules:
    """What the hub's packet filter does to frames that pass from port to port."""

    groups: list[list[int]] = field(default_factory=list)
    loss_percent: dict[int, float] = field(default_factory=dict)
    multicast: bool = True
    broadcast: bool = True


class Lan:
    """N nodes that hear each other. A context manager: all nodes and what runs in them end with it."""

    def __init__(self, nodes: int = 2, *, prefix: str = "lan-", segments: int = 1, wire: bool = False, net: str = "10.77") -> None:
        self.nodes = range(1, nodes + 1)
        self._prefix, self._segments, self._wire, self._net = prefix, range(segments), wire, net
        self._hub = prefix + "hub"
        self._rules = Rules()
        self._processes: list[subprocess.Popen[str]] = []
        self._wire_socket = Path(tempfile.gettempdir()) / f"{prefix}wire.sock"

    def __enter__(self) -> Self:
        self.down()
        try:
            self._up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_fault: object) -> None:
        self.down()

    def down(self) -> None:
        """End the processes that were started here, and remove the namespaces."""
        for process in self._processes:
            end(process)
        self._processes.clear()
        self._wire_socket.unlink(missing_ok=True)
        mine = re.compile(re.escape(self._prefix) + r"(hub|\d+)")
        for name in namespaces():
            if mine.fullmatch(name):
                remove_namespace(name)

    # -- names

    def namespace(self, node: int) -> str:
        """Return the name of the node's namespace."""
        return f"{self._prefix}{node}"

    def ip(self, node: int, segment: int = 0) -> str:
        """Return the IPv4 address that the node has at first."""
        return f"{self._net}.{segment}.{node}"

    def ip6(self, node: int, device: str = "eth0") -> str:
        """Return the node's link-local address with its zone."""
        answer = json.loads(_run("ip", "-n", self.namespace(node), "-j", "-6", "addr", "show", "dev", device, "scope", "link"))
        return f"{answer[0]['addr_info'][0]['local']}%{device}"

    # -- what runs in a node

    def command(self, node: int, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs argv in the node. ip exec()s it: the pid of it is the program's own."""
        return ["ip", "netns", "exec", self.namespace(node), *argv]

    def popen(self, node: int, argv: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a program in the node, with text pipes to and from it; it is killed when the LAN goes down."""
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": REPOSITORY}
        process: subprocess.Popen[str] = subprocess.Popen(self.command(node, argv), **(pipes | options))
        self._processes.append(process)
        return process

    def run(self, node: int, argv: Sequence[str], timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a program in the node to its end."""
        return subprocess.run(self.command(node, argv), capture_output=True, text=True, timeout=timeout_s, check=False, cwd=REPOSITORY)

    # -- what happens to a laptop

    def link(self, node: int, *, up: bool, device: str = "eth0") -> None:
        """Switch the interface on or off: while it is off its routes and IPv6 addresses are gone."""
        self._ip(self.namespace(node), f"link set {device} {'up' if up else 'down'}")

    def cable(self, node: int, *, plugged: bool, segment: int = 0) -> None:
        """Pull the cable or put it back: the node sees its carrier go, and keeps its addresses."""
        self._ip(self._hub, f"link set p{segment}-{node} {'up' if plugged else 'down'}")

    def readdress(self, node: int, new: str, old: str | None = None, device: str = "eth0") -> None:
        """Give the node the address `new` (with prefix length) in place of `old`, as another DHCP lease would."""
        name = self.namespace(node)
        self._ip(name, f"addr del {old or self.ip(node) + '/24'} dev {device}", f"addr add {new} dev {device}")

    def ipv6_only(self, node: int, device: str = "eth0") -> None:
        """Take away the node's IPv4 addresses on the interface."""
        self._ip(self.namespace(node), f"-4 addr flush dev {device}")

    def ipv4_only(self, node: int, device: str = "eth0") -> None:
        """Take IPv6 away from the node's interface."""
        self.tune(node, f"ipv6/conf/{device}/disable_ipv6", 1)

    def tune(self, node: int, name: str, value: int) -> None:
        """Write a setting of the node's network stack, by its name below /proc/sys/net."""
        _run(*self.command(node, ["sh", "-c", f"echo {value} > /proc/sys/net/{name}"]))

    # -- what happens to the network

    def snoop(self, *, querier: bool) -> None:
        """Let the switches carry multicast only to who has asked for it, and ask themselves who wants it, or not."""
        for segment in self._segments:
            self._ip(self._hub, f"link set br{segment} type bridge mcast_snooping 1 mcast_querier {int(querier)}")

    def split(self, *groups: Iterable[int]) -> None:
        """Part the network without anybody's cable being pulled: only nodes of the same group hear each other."""
        self._rules.groups = [list(group) for group in groups]
        self._filter()

    def heal(self) -> None:
        """End the partition."""
        self.split()

    def loss(self, node: int, percent: float) -> None:
        """Lose this share of the frames from and to the node, at random."""
        self._rules.loss_percent[node] = percent
        self._filter()

    def multicast(self, on: bool) -> None:
        """Off: IP multicast is dropped but for neighbour discovery, as some access points do."""
        self._rules.multicast = on
        self._filter()

    def broadcast(self, on: bool) -> None:
        """Off: IPv4 broadcast is dropped; ARP still works."""
        self._rules.broadcast = on
        self._filter()

    def isolate(self, on: bool) -> None:
        """On: no frame passes between two nodes, as with client isolation."""
        for node in self.nodes:
            for segment in self._segments:
                port = f"p{segment}-{node}"
                _run(*self._in_hub("bridge", "link", "set", "dev", port, "isolated", "on" if on else "off"))

    def shape(self, node: int, **what: float) -> None:
        """Shape each direction of the node's cable: delay, jitter (ms), loss, duplicate, reorder (%), rate (Mbit/s), queue (frames)."""
        if not self._wire:
            raise ValueError("shape() needs Lan(wire=True)")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(json.dumps({"node": node, **what}).encode(), str(self._wire_socket))

    # -- building

    def _up(self) -> None:
        for name in (self._hub, *map(self.namespace, self.nodes)):
            _run("ip", "netns", "add", name)
            # Without duplicate address detection link-local addresses serve at once, not after a second.
            no_dad = "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"
            _run("ip", "netns", "exec", name, "sh", "-c", f"{no_dad}; ip link set lo up")
        for segment in self._segments:
            self._ip(self._hub, f"link add br{segment} type bridge mcast_snooping 0", f"link set br{segment} up")
        if self._wire:
            self._start_wire()
        for node in self.nodes:
            for segment in self._segments:
                self._plug(node, segment)
        self._filter()

    def _plug(self, node: int, segment: int) -> None:
        name, port, device = self.namespace(node), f"p{segment}-{node}", f"eth{segment}"
        if not (self._wire and segment == 0):
            self._ip(self._hub, f"link add {port} type veth peer name {device} netns {name}")
        self._ip(self._hub, f"link set {port} master br{segment} up")
        self._ip(name, f"link set {device} up", f"addr add {self.ip(node, segment)}/24 dev {device}")
        if segment == 0:
            self._ip(name, f"route add default via {self._net}.0.254")  # nobody is there; 255.255.255.255 finds its way by it

    def _start_wire(self) -> None:
        program = [sys.executable, "-m", "tests.lan.wire", str(self._wire_socket), self._prefix, str(len(self.nodes))]
        process = subprocess.Popen(self._in_hub(*program), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        self._processes.append(process)
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("the cables of wire.py could not be made: is there /dev/net/tun?")

    def _filter(self) -> None:
        """Replace the hub's packet filter by one for the present rules."""
        rules = [*self._partition_rules(), *self._loss_rules()]
        if not self._rules.multicast:
            rules.append("ip daddr 224.0.0.0/4 drop")
            rules.append("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept")
            rules.append("ip6 daddr ff00::/8 drop")
        if not self._rules.broadcast:
            rules.append("ether daddr ff:ff:ff:ff:ff:ff ether type ip drop")
        chain = "\n".join(["chain forward {", "type filter hook forward priority 0;", *rules, "}"])
        clean = "table bridge lan { }\ndelete table bridge lan\n"
        _run(*self._in_hub("nft", "-f", "-"), text=f"{clean}table bridge lan {{\n{chain}\n}}\n")

    def _partition_rules(self) -> list[str]:
        return [f"iifname {self._ports(group)} oifname != {self._ports(group)} drop" for group in self._rules.groups]

    def _loss_rules(self) -> list[str]:
        return [
            f"{side} {self._ports([node])} numgen random mod 10000 < {round(percent * 100)} drop"
            for node, percent in self._rules.loss_percent.items()
            for side in ("iifname", "oifname")
            if percent
        ]

    def _ports(self, nodes: Iterable[int]) -> str:
        names = ",".join(f'"p{segment}-{node}"' for node in nodes for segment in self._segments)
        return f"{{ {names} }}"

    def _in_hub(self, *argv: str) -> list[str]:
        return ["ip", "netns", "exec", self._hub, *argv]

    def _ip(self, namespace: str, *lines: str) -> None:
        for line in lines:
            _run("ip", "-n", namespace, *line.split())


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process, wait for it and close its pipes. Harmless when it has ended."""
    process.kill()
    process.wait(START_TIMEOUT_S)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def namespaces() -> list[str]:
    """Return the names of all network namespaces of the machine."""
    return [line.split()[0] for line in _run("ip", "netns", "list").splitlines() if line]


def remove_namespace(name: str) -> None:
    """Remove a namespace; its interfaces go once no process is left in it."""
    _run("ip", "netns", "del", name)


def _run(*argv: str, text: str | None = None) -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=START_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout

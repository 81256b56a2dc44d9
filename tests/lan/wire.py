"""Cables in user space that delay, lose, double and reorder frames: what `tc netem` does where the kernel has it.

    wire.py SOCKET PREFIX NODES      (inside the hub's namespace; started by lan.py)

For each node it makes two TAP devices: the bridge port p0-i, and the node's eth0, which moves into the namespace PREFIX+i.
Frames are carried between the two. `{"node": 1, "delay": 20, …}` as a datagram to SOCKET reshapes both directions of a cable.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

_SET_INTERFACE, _TAP, _NO_PACKET_INFO = 0x400454CA, 0x0002, 0x1000
_FRAME_BYTES = 65_536
_FRAMES_A_TURN = 64


@dataclass
class Shape:
    """Milliseconds, percent, Mbit/s (0: no limit) and frames."""

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    rate: float = 0.0
    queue: float = 1000.0


@dataclass
class Direction:
    """One direction of one cable."""

    out: int
    shape: Shape
    busy_until: float = 0.0
    last_due: float = 0.0
    queued: int = 0

    def due(self, now: float, size_bytes: int) -> float | None:
        """Say when the frame leaves; None: it is lost."""
        shape = self.shape
        if _chance(shape.loss) or (shape.rate and self.queued >= shape.queue):
            return None
        if shape.rate:
            now = self.busy_until = max(now, self.busy_until) + size_bytes * 8 / (shape.rate * 1e6)
        if _chance(shape.reorder):
            return now  # overtakes what is delayed
        due = now + max(0.0, shape.delay + random.uniform(-1, 1) * shape.jitter) / 1000
        self.last_due = max(due, self.last_due)  # jitter alone keeps the order
        return self.last_due


@dataclass
class Cables:
    """All cables and the frames that are under way."""

    by_input: dict[int, Direction] = field(default_factory=dict)
    by_node: dict[int, Shape] = field(default_factory=dict)
    _flying: list[tuple[float, int, Direction, bytes]] = field(default_factory=list)
    _serial: itertools.count[int] = field(default_factory=itertools.count)

    def add(self, node: int, port: int, end: int) -> None:
        """Join two TAP devices, given by their descriptors."""
        shape = self.by_node[node] = Shape()
        self.by_input[port], self.by_input[end] = Direction(end, shape), Direction(port, shape)

    def reshape(self, message: dict[str, float]) -> None:
        """Change a cable's shape as asked for over the socket."""
        shape = self.by_node[int(message.pop("node"))]
        for name, value in message.items():
            setattr(shape, name, float(value))

    def take(self, source: int) -> None:
        """Read what waits on one side, a bounded number of frames."""
        direction = self.by_input[source]
        for _ in range(_FRAMES_A_TURN):
            try:
                frame = os.read(source, _FRAME_BYTES)
            except OSError:  # nothing more, or the interface is down
                return
            for _ in range(2 if _chance(direction.shape.duplicate) else 1):
                self._launch(direction, frame)

    def deliver(self, now: float) -> float | None:
        """Send what is due; return the seconds until the next frame is, None where none flies."""
        while self._flying and self._flying[0][0] <= now:
            _, _, direction, frame = heapq.heappop(self._flying)
            direction.queued -= 1
            _write(direction.out, frame)
        return max(0.0, self._flying[0][0] - now) if self._flying else None

    def _launch(self, direction: Direction, frame: bytes) -> None:
        now = time.monotonic()
        due = direction.due(now, len(frame))
        if due is None:
            return
        if due <= now and not direction.queued:
            _write(direction.out, frame)
            return
        direction.queued += 1
        heapq.heappush(self._flying, (due, next(self._serial), direction, frame))


def _chance(percent: float) -> bool:
    return bool(percent) and random.random() * 100 < percent


def _write(device: int, frame: bytes) -> None:
    try:
        os.write(device, frame)
    except OSError:  # the interface is down: a cable that leads nowhere
        return


def _tap(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TAP | _NO_PACKET_INFO))
    return device


def _build(prefix: str, nodes: int) -> Cables:
    cables = Cables()
    for node in range(1, nodes + 1):
        port, end = _tap(f"p0-{node}"), _tap(f"w{node}")
        subprocess.run(["ip", "link", "set", f"w{node}", "netns", f"{prefix}{node}", "name", "eth0"], check=True)
        cables.add(node, port, end)
    return cables


def main(path: str, prefix: str, nodes: int) -> None:
    """Carry frames until killed."""
    cables = _build(prefix, nodes)
    Path(path).unlink(missing_ok=True)
    control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    control.bind(path)
    waiting = select.epoll()
    for descriptor in (control.fileno(), *cables.by_input):
        waiting.register(descriptor, select.EPOLLIN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for descriptor, _ in waiting.poll(cables.deliver(time.monotonic())):
            if descriptor == control.fileno():
                cables.reshape(json.loads(control.recv(4096)))
            else:
                cables.take(descriptor)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

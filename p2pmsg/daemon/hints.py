"""Hints: whom I can hear tells those who cannot (DESIGN 9, the last fallback).

Each node gives its own announcement to those it is linked with, and hands on what others gave it of themselves, verbatim: only
contacts of who made an announcement recognise it, so a hint tells its receiver nothing about people he does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pmsg.config import limits
from p2pmsg.model.ids import DeviceId, LinkNumber
from p2pmsg.protocol.wire import Announced, Hint

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pmsg.daemon.node import Node


class Hints:
    """What this node hands on of who is where."""

    def __init__(self, node: Node, announced: Callable[[Announced], None], *, on: bool = True) -> None:
        """`announced` is told what peers say of others. While it is not `on` nothing is told, and what is heard is passed over."""
        self._node = node
        self._announced = announced
        self._own: Announced | None = None
        self._others: dict[DeviceId, Announced] = {}
        self._on = on
        self._due = False
        node.peer_changed.append(self._peer_changed)

    def switch(self, on: bool) -> None:
        """Tell and hear from now on, or no more."""
        self._on = on
        if on:
            self._tell_soon()
        else:
            self._others.clear()

    def epoch_changed(self, own: Announced) -> None:
        """Tell everybody linked how I announce myself now."""
        self._own = own
        self._tell_soon()

    def received(self, link: LinkNumber, hint: Hint) -> None:
        """A peer says how it, and others, announce themselves."""
        opened = self._node.links.get(link)
        if opened is None or not self._on:
            return
        if hint.own is not None and self._others.get(opened.device) != hint.own:
            self._others.pop(opened.device, None)
            self._others[opened.device] = hint.own
            while len(self._others) > limits.HINTS:
                del self._others[next(iter(self._others))]
            self._tell_soon()
        for other in hint.others:
            self._announced(other)

    def _peer_changed(self, device: DeviceId) -> None:
        if any(opened.device == device for opened in self._node.links):
            self._tell_soon()

    def _tell_soon(self) -> None:
        """Tell all links at once, at most once a second."""
        if self._on and not self._due:
            self._due = True
            self._node.clock.call_at(self._node.clock.now() + limits.HINT_EVERY_S, self._tell)

    def _tell(self) -> None:
        self._due = False
        if not self._on:
            return
        for opened in list(self._node.links):
            others = [announced for device, announced in self._others.items() if device != opened.device]
            self._node.linkage.send(opened.link, Hint(self._own, others))

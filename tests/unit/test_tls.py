"""A certificate that says nothing, and the exporter that both ends share."""

from __future__ import annotations

import pytest
from cryptography import x509

from p2pmsg.errors import P2pmsgError
from p2pmsg.network import tls
from tests.unit.ends import Memory


def test_certificate_names_nobody_and_no_moment() -> None:
    first, second = tls.throwaway_certificate()[0], tls.throwaway_certificate()[0]
    assert first.subject == first.issuer == x509.Name([])
    assert (first.serial_number, first.not_valid_before_utc) == (second.serial_number, second.not_valid_before_utc)
    assert first.public_key() != second.public_key()
    assert not list(first.extensions)


def test_exporter_is_equal_at_both_ends() -> None:
    pair = Memory()
    pair.exchange()
    assert tls.exporter(pair.dialler) == tls.exporter(pair.responder)


def test_exporter_differs_between_connections() -> None:
    first, second = Memory(), Memory()
    first.exchange()
    second.exchange()
    assert tls.exporter(first.dialler) != tls.exporter(second.dialler)


def test_exporter_needs_a_complete_handshake() -> None:
    pair = Memory()
    with pytest.raises(P2pmsgError):
        tls.exporter(pair.dialler)


def test_self_test_passes_here() -> None:
    tls.self_test()


def test_self_test_refuses_an_exporter_that_does_not_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "exporter", lambda quic: bytes(32))
    with pytest.raises(P2pmsgError):
        tls.self_test.__wrapped__()


def test_dialler_sends_no_name_and_no_certificate() -> None:
    configuration = tls.dialler_configuration(9.0)
    assert configuration.server_name is None and configuration.certificate is None
    assert configuration.supported_versions == [1] and configuration.alpn_protocols == ["p2pmsg/1"]


def test_redial_assumes_a_slow_peer() -> None:
    assert tls.dialler_configuration(9.0, 2.6).initial_rtt == 2.6

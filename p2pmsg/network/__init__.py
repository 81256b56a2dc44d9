"""The wire: discovery, the UDP endpoint and QUIC connections. Never meets storage."""

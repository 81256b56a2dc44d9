"""Keys, signatures, the channel: pure functions and small states over well-kept libraries. Knows no I/O but the key file."""

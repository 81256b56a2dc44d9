"""Keys, signatures, chains, the channel, the key vault. Knows no frames, sockets, databases or clocks."""

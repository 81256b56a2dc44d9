"""The local API: JSON-RPC 2.0 over a Unix socket; one typed method per use case."""

"""p2pmsg: private messages between people on one network, with no server and no Internet."""

__version__ = "0.1.0"
PROTOCOL_VERSION = 1

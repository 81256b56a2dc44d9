"""The rules, pure: no sockets, files, clock, randomness, logging or asyncio.

`now`, random bytes and what storage found come in; commands and the next deadline go out.
"""

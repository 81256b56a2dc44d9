"""What is kept: the encrypted database, the logs of events, and the views made from them.

Durable before visible: nothing is reported as done before it is committed. Knows nothing of links, sockets or asyncio
tasks; jobs go in, outcomes come out on the event loop.
"""

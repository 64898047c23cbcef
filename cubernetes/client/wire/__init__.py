"""What every client says and reads, whatever carries it: pure functions, written once.

It refuses to send anything, and to know asyncio: the typed client and the command line share it.
"""

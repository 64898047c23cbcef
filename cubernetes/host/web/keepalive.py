"""How a kernel finds out whether the other machine is there, where neither side has a word.

A machine that loses its power ends no connection. Command lines import it: it imports nothing slow.
"""

import socket

KEEPALIVE_S, KEEPALIVE_COUNT = 15, 4
# What a socket is told; a peer that is gone is known after 75 seconds.
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT),
)

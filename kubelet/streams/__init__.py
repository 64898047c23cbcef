"""Ways into pods that carry many streams: ports forwarded, and SPDY/3.1 in place of WebSocket."""

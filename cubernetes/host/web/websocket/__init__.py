"""WebSockets: the end of a client, and that of a server, which takes long to import."""

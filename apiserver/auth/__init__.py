"""Who asks, and whether they may: roles, nodes and their certificates, tokens. It is pure."""

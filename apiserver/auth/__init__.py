"""Who asks, and whether they may: certificates, tokens, roles, and the signing of new nodes."""

"""Questions that are answered and not kept: whose a token is, who may do what."""

"""How a machine becomes a node and stays one: tokens, signed certificates, who is a member."""

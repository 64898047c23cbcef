"""As whom containers run and what they may do: what a pod says of it, and what is legal."""

"""The pod network of CNI plugins: they wire pods, this room calls them and keeps what they said."""

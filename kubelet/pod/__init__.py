"""One pod on this node: what to do with its containers, and what is told of them."""

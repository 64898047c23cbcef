"""PromQL: from text to a tree, from a tree and samples to values. It refuses to touch a disk."""

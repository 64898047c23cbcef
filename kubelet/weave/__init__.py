"""The Weave router of a node: begun with what the cluster says, and taken away again."""

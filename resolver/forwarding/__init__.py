"""Names that are not the cluster's: asked of the node's own name servers, and kept for a while."""

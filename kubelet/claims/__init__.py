"""The volumes of claims on this node: folders made and removed, and what pods mount of them."""

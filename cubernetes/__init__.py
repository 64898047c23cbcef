"""The library every program shares: words, client, reconcile loop and the ground below them."""

"""Programs that others have written for the same work: what benches measure ours beside."""

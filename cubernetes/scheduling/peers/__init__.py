"""What pods are to each other: their labels, their rules about others' pods, and the counts."""

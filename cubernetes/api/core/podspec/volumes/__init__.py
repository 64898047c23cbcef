"""What volumes a pod has: where their files come from, and what is legal."""

"""The functions of PromQL: what they take and give, and their sums."""

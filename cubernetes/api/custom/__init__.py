"""Custom kinds: a schema in the cluster says their fields, not a model of ours."""

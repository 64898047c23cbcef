"""Bodies that are sent and not kept: lists, errors, options, scales; and how a machine joins."""

"""Samples and labels as columns: how they are coded, framed, matched and cached."""

"""Drivers of sites, one for each type; a fake beside them passes the same suite."""

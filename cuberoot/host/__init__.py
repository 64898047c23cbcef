"""This machine, as cuberoot finds and changes it: facts, journal, supervision, and waiting."""

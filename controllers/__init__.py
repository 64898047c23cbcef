"""The controllers: each a pure function from what is wanted and what exists to actions.

One file per subject, one line per subject in registry.py; the loop that carries plans out is
cubernetes.reconcile. Refused here: clients, clocks, and memory that matters. What a controller
remembers between plans may be lost at any time, and its file says what is remembered and why.
"""

"""Claims and volumes: who gets which, what is made for a claim, and what becomes of it after."""

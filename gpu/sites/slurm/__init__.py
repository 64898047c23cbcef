"""Sites of Slurm, by ssh: what runs there, what it tells, and who asks it."""

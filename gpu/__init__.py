"""GPU jobs: they wait their turn here, and run at sites that have GPUs, or say that they have none.

What decides is pure (`machine`, `plan`, `shares`, `decide`); a site is reached by its driver alone.
"""

"""Kinds of the group gpu.cubernetes.io: programs that compute on GPUs, and where they run."""

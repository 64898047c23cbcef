"""The runner of functions, process 1 of an instance: the standard library alone, nothing of ours.

`python -m serverless.runtime --port N` serves HTTP/1.1. Three kinds of processes share the work, so
that no call can end another: the nursery only forks, the door only answers, and the code of a
function runs in a zygote of its revision and in the workers that the zygote forks.
"""

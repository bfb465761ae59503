"""Experiments of the Chaos Toolkit: read, carried out in a process of its own, and their journals."""

REFUSED = 2  # the worker's exit status for a file that is no experiment

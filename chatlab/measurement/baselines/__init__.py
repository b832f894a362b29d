"""Servers that do next to nothing: what a generator and this machine can do at most."""

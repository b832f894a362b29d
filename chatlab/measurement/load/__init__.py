"""Load generation: scripted virtual users in worker processes."""

"""Baseline servers, which do nothing or next to nothing: what they cost is not the chat's cost."""

"""Helpers shared by the tests: servers to talk to, and clients that talk."""

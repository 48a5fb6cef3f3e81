"""A search for input that brings a server down, or that it leaves unanswered.

``python -m tests.search --sessions N --seed S`` tries N sessions: long, random and
mutated input, cut anywhere, under all configurations.  Whatever a client sends, no
exception may reach asyncore's error handling, every command line and every message has
its reply, and a channel keeps no more than its limits allow.
"""

"""The programs in README.md, run as they stand there."""

"""The programs and the commands of README.md and docs, run as they stand there."""

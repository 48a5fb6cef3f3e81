"""A client's connection, below the words of SMTP; and threads for handlers."""

"""PureProxy, MailmanProxy, and the client that they share."""

"""Model providers: the protocol, one file per provider, and what providers share."""

"""Where the bytes of artifacts live: the protocol, and the content-addressed local store."""

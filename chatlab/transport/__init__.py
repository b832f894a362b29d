"""What a client, an endpoint and an implementation are, and how a protocol's name is resolved."""

"""What passed on the wire: a relay, byte layers, dissection, captures, traces."""

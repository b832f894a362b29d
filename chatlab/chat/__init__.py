"""The chat itself: what every request means, who is connected, what is kept. No bytes and no sockets."""

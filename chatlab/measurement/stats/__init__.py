"""Statistics on numbers alone: intervals and ratios, and the law of how a rate scales with the clients."""

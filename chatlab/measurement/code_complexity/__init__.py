"""How much code a protocol takes."""

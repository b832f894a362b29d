"""What was measured, as values that are compared, saved and shown."""

"""What was measured, as frozen values that are compared, saved, printed and drawn; nothing here measures."""

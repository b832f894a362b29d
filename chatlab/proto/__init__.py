"""The chat in protobuf: `make proto` writes the stubs from chat.proto, and convert.py takes a message across."""

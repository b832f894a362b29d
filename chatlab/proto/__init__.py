"""The chat in protobuf: chat.proto says it, `make proto` writes the stubs from it, convert.py takes a message across."""

"""Which bytes say a message, and where a frame ends; no I/O. A codec is loaded from its own file, when it is needed."""

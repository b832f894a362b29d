"""How much gRPC's core writes to stderr: nothing, unless `GRPC_VERBOSITY` is set by somebody else.

It writes from threads of its own, which in a notebook lands in whatever cell runs just then. It reads the variable when it
is loaded, so each file of ours that loads gRPC imports this one first; whoever uses no gRPC is left alone.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

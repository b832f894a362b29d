"""The load: who says what, when it is due, and the processes that see to it.

    workload                    the load as a value, and each client's schedule
    generators                  what both kinds of generator are told and tell
    realistic, light            clients as users have them; or pre-encoded requests over bare sockets
    speaker, wires              what a light generator says and expects; the bytes of each protocol
    trials, workers             one trial; many processes that begin together
    null, mirror                servers that do nothing, and one that does what any load needs: to calibrate the rest
    samples, gauges             raw times; processor and memory of a process, from outside
"""

"""How values look: tables, plots, HTML, progress bars. Knows nothing of sockets or of measuring."""

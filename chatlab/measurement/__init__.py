"""How much, how fast, how sure: loads, baselines, statistics, results."""

"""How a step is declared, run and stamped: recipes, checks, the running step, its model calls, fingerprints of code."""

"""Declaration, execution and stamping of steps: recipes, checks, running steps, model calls, code fingerprints."""

"""Generator of the demonstration study: questions, simulated models, and the errors planted in their responses."""

"""The demonstration study's generator: questions, simulated models, and the record of the errors planted in them."""

"""Accuracy versus compute: cost of traces in tokens, FLOPs and money, and accuracy gained by spending more."""

"""Accuracy against compute: what a trace costs in tokens, FLOPs and money, and what more of it buys."""

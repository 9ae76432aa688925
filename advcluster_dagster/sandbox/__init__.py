"""Sandbox: worker processes with limits, for hostile or runaway input."""

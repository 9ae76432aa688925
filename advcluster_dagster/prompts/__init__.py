"""Prompts of the judge models, one Markdown file per purpose: system message, a line ``===``, user message."""

"""Audit: trace results back to calls and traces, verify every link, export lineage events."""

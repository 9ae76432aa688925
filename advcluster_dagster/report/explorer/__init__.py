"""The explorer of the evidence: a page that leads from each cluster to the traces it rests on, opened from disk.

Here: joining what it shows, finding quoted passages in traces, the data as script files, the page. Not here: reading
the lake (assets), writing files (storage), the report (report).
"""

"""Evidence explorer: a page, opened from disk, to browse the traces behind each cluster."""

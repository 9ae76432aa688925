"""The explorer: a page, opened from disk, that leads from each cluster to the traces behind it."""

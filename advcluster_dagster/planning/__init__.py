"""What a run has to do and what it will cost: state of partitions, status, selection, dry run, frozen taxonomies."""

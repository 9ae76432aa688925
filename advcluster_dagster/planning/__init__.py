"""Plan runs and their cost: state of partitions, status, selection, dry run, frozen taxonomies."""

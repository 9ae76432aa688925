"""Following a result back to where it came from, and verifying every link of the way (`advcluster audit`).

Here: the chain from a cluster, cell, advantage or index back to traces, prompts and runs; its verification; differences
between materialisations; lineage events. Not here: any computing of results (science, assets), commands.
"""

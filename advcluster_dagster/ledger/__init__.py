"""The call ledger: every model call with its reply, batches, prices and spending limits."""

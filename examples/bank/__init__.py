"""A bank: accounts that never go below zero, transfers that arrive once or come back, and balances to read."""

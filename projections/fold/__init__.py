"""The fold: what records amount to, decided without a server at hand. `feeding` does the waiting."""

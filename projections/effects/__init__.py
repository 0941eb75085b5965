"""Effects at work: the ledger, where effects begin, who fills the ledger and who carries out what is in it."""

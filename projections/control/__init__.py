"""What the database keeps about read models: generations, the pointer to the live one, checkpoints, parked records."""

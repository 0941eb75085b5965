"""What the log says of single rows: why each is what it is, and how it is put right."""

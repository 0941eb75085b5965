"""Keeping generations current: workers, who starts them, what they commit, and whether they are well."""

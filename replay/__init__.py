"""Running history again: build a generation beside the live one, verify it, swap it in, take it back."""

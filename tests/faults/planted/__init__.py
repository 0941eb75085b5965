"""Wrong variants of the real code, each with a run in which the checker must find it; `registry.BUGS` lists them."""

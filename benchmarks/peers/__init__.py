"""Those that refold is measured against, each in a process of its own and on the same servers."""

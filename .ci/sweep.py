"""Ends the stacks that killed test sessions left running: `python .ci/sweep.py .refold …`. A session that lives holds its lock."""

import fcntl
import sys
from pathlib import Path

from compose.settings import StackSettings
from compose.stack import Stack

for root in map(Path, sys.argv[1:]):
    for lock in sorted(root.glob("test-*.lock")):
        with lock.open("w") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            settings = StackSettings(dir=lock.with_suffix(""), postgres_dsn=None, kafka_bootstrap=None, connect_url=None)
            if ended := Stack(settings).down():
                print(f"ended {', '.join(ended)} of {lock.with_suffix('').name}, left by a session that was killed")

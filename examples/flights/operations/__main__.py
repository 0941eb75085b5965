"""Makes the operations database and prints the variables for its connector: `eval "$(python -m examples.flights.operations)"`.

With `change` it makes the demo's changes instead.
"""

from __future__ import annotations

import shlex
import sys

from eventstore.settings import STACK_ENV
from examples.flights.operations import apply, changes, connector_environment, create, operations_dsn

dsn = operations_dsn()
if sys.argv[1:] == ["change"]:
    for change in changes():
        print(f"{change.why} ({apply(dsn, change)} rows)")
else:
    create(dsn)
    STACK_ENV.parent.mkdir(parents=True, exist_ok=True)
    for name, value in connector_environment(dsn, STACK_ENV.parent).items():
        print(f"export {name}={shlex.quote(value)}")

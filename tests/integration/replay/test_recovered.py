"""The rebuild that a recovery falls back on, where an earlier replay left its mark."""

import time

from cdc.connect.declaration import Connector
from eventstore.console import Output
from eventstore.postgres.engine import checkout
from projections.control.catalogue import add_detail
from replay.recovery import Recovery
from replay.verification.agreement import Verifier
from tests.bank import release1


async def test_rebuilds_swapped(runs, log, ledger):
    """A recovery rebuilds what differs also where the replay that built it was killed after its swap: to note its end mends no row."""
    await log.write(ledger.some(20))
    await runs.serve(release1.app)
    async with checkout(runs.engine) as connection:
        await add_detail(connection, await runs.live(), {"replay": "swapped"})
    connector, output = Connector("bank", "postgresql://bank@nowhere:5432/bank", ("public.account",)), Output(json=True)
    verifier = Verifier(connector, list(release1.app), runs.engine, runs.kafka, time.monotonic() + 60, output.progress)
    await Recovery(verifier, output)._rebuild(release1.bank.projection)
    assert await runs.states() == {2: "live", 1: "retired"}

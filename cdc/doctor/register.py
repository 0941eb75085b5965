"""All checks: importing this module fills the register, and `examine_facts` runs every one."""

from __future__ import annotations

from cdc.doctor import server, slot, table, topic, worker
from cdc.doctor.check import CHECKS, Diagnosis
from cdc.doctor.facts import Facts

FAMILIES = (server, table, slot, worker, topic)
"""The modules in which the checks stand, in the order of the reference."""


def examine_facts(facts: Facts) -> list[Diagnosis]:
    """Run every check over *facts*, in the order of their codes."""
    return [Diagnosis(CHECKS[code], trouble) for code in sorted(CHECKS) for trouble in CHECKS[code].judge(facts)]

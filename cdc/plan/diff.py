"""From a declaration and the world as it is to a plan. Pure and total: the same facts always give the same steps."""

from __future__ import annotations

from cdc.connect.config import build_config, find_names
from cdc.connect.declaration import Connector
from cdc.plan.source import check_source, plan_source
from cdc.plan.step import Plan
from cdc.plan.topic import check_topics, plan_topics
from cdc.plan.worker import check_worker, mask, plan_worker, settle_config
from cdc.plan.world import World
from eventstore.settings import KafkaSettings


def plan_connector(connector: Connector, kafka: KafkaSettings, world: World) -> Plan:
    """Give the steps, database first and the connector last, and every finding. Raises UsageError for a wrong declaration."""
    names = find_names(connector, kafka)
    config = settle_config(connector, build_config(connector, kafka), world.config)
    steps = (
        *plan_source(connector, names, world),
        *plan_topics(connector, names, world),
        *plan_worker(connector, names, config, world),
    )
    findings = (
        *check_source(connector, world),
        *check_topics(connector, names, world.topics),
        *check_worker(connector, names, config, world),
    )
    shown = {option: mask(option, value) or "" for option, value in config.items()}
    return Plan(names.connector, steps, findings, shown)

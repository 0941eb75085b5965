"""What the fault tests share: a checker of histories, after Jepsen's Kafka workload."""

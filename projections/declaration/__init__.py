"""What people declare: projections, their tables and handlers, aggregates, effects, sinks, and what an app is made of. Pure."""

"""Names the plugins that all tests share; nothing else."""

pytest_plugins = ["tests.stack.again", "tests.stack.generated", "tests.stack.plugin"]

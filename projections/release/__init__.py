"""What deploying the code at hand means for what was built before: fingerprints, changes, lint, and the plan."""

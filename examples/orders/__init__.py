"""A shop: one decider, and three read models in three places, each where it is read best."""

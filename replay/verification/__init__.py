"""Whether generations hold what they should: at one vector, by the rows and by the events behind them."""

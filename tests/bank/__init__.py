"""A small bank: the app that the tests of projections and replays run, its log, its oracle and its processes."""

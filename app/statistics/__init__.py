"""Statistics of load: percentiles, intervals, steady state, trends, knees, and two runs compared. Pure."""

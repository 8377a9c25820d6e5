"""Time series: a table, divided in time, cut into windows."""

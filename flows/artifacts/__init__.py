"""What a run shows of itself in Prefect's interface."""

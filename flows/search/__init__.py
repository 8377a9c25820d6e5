"""A search for better parameters: Optuna proposes, Prefect runs the trials."""
